"""imageward as it is served: a server process, asked through the shipped client."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imageward_bench.filled_bank import BANK, BATCH, TIMEOUT_S, settle
from imageward_bench.server_process import ServerProcess
from imageward_client import Client

Codes = NDArray[np.uint8]


class Engine:
    """A server with one bank; every change is durable before it is acknowledged."""

    many = "one call with a batch"
    roots: tuple[int, ...] = ()

    def __init__(self, folder: Path, radius: int) -> None:
        del radius  # a bank's own default is the field's
        self._folder = folder / "data"
        self._server = ServerProcess(self._folder)
        self._server.start()
        self._client = Client(self._server.target, timeout_s=TIMEOUT_S)
        # Ids are given in a row, so the first is all there is to keep.
        self._first_id = 0

    def build(self, codes: Codes) -> None:
        """Bank all, in batches, and wait until they are sealed."""
        self._client.create_bank(BANK)
        for first in range(0, len(codes), BATCH):
            self._add(first, codes[first : first + BATCH])
        settle(self._folder)

    def search(self, code: Codes) -> list[int]:
        """Check one hash."""
        answer = self._client.check_hashes([code.tobytes()])
        return [int(one, 16) - self._first_id for one in answer.results[0].entry_ids]

    def search_many(self, codes: Codes) -> None:
        """Check a batch."""
        self._client.check_hashes([code.tobytes() for code in codes])

    def add(self, number: int, code: Codes) -> None:
        """Bank one."""
        self._add(number, code[np.newaxis])

    def close(self) -> None:
        """Stop the server."""
        self._client.close()
        self._server.stop()

    def _add(self, first: int, codes: Codes) -> None:
        answer = self._client.add_entries(BANK, hashes=[code.tobytes() for code in codes])
        given = [int(one.entry_id or "", 16) for one in answer.results]
        if not first:
            self._first_id = given[0]
        assert given == list(range(self._first_id + first, self._first_id + first + len(codes)))
