"""The server that is measured: one that runs elsewhere, or one that is started for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from imageward_bench import process_tree
from imageward_bench.filled_bank import (
    BANK,
    BATCH,
    TIMEOUT_S,
    Filling,
    batch_codes,
    copy_of_filled,
)
from imageward_bench.patience import admitted
from imageward_bench.server_process import ServerProcess
from imageward_client import AddAnswer, BankExists, Client

LENT_BANK = "imageward-bench"
LENT = 1000
LOOPBACK = ("127.0.0.1", "localhost", "[::1]", "::1")

Codes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Served:
    """A server to send load to.

    Attributes:
        target: host and port.
        pid: its process, where it is on this machine; else None.
        bank: the bank that a benchmark may add to.
        codes: uint8 (n, 32), hashes that it is known to hold.
    """

    target: str
    pid: int | None
    bank: str
    codes: Codes


@contextmanager
def started(filling: Filling, flags: Sequence[str], console: Console) -> Iterator[Served]:
    """Start a server whose bank is filled so; end it afterwards."""
    count = min(BATCH, filling.count)
    codes = batch_codes(filling.seed, 0, count) if count else np.empty((0, 32), np.uint8)
    with (
        copy_of_filled(filling, console) as folder,
        ServerProcess(folder, flags=flags) as server,
    ):
        yield Served(server.target, server.pid, BANK, codes)


@contextmanager
def elsewhere(target: str, seed: int) -> Iterator[Served]:
    """Use a server that runs already: bank a thousand hashes, withdraw them afterwards."""
    host, _, port = target.rpartition(":")
    pid = process_tree.listener(int(port)) if host in LOOPBACK else None
    codes = batch_codes(seed, 0, LENT)
    with Client(target, timeout_s=TIMEOUT_S) as client, lent(client, hashes=codes):
        yield Served(target, pid, LENT_BANK, codes)


@contextmanager
def lent(
    client: Client, *, hashes: Codes | None = None, images: Sequence[bytes] = ()
) -> Iterator[None]:
    """Bank hashes or images for as long as this lasts."""
    with suppress(BankExists):  # of an earlier run
        client.create_bank(LENT_BANK)
    ids: list[str] = []
    try:
        for image in images:
            ids += _ids(admitted(partial(client.add_entries, LENT_BANK, images=[image])))
        if hashes is not None:
            codes = [code.tobytes() for code in hashes]
            ids += _ids(admitted(partial(client.add_entries, LENT_BANK, hashes=codes)))
        yield
    finally:
        for first in range(0, len(ids), BATCH):
            client.withdraw_entries(ids[first : first + BATCH])


def _ids(answer: AddAnswer) -> list[str]:
    return [one.entry_id for one in answer.results if one.entry_id]
