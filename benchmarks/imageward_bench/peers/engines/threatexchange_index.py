"""python-threatexchange's own index of PDQ hashes, as its matcher uses it."""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray
from threatexchange.signal_type.pdq.pdq_index import PDQIndex

Codes = NDArray[np.uint8]
PER_ADD = 100_000


class Engine:
    """`PDQIndex`: FAISS's multi-index hashing, one query a call; that is its interface."""

    many = "one a call, as its interface has it"
    roots: tuple[int, ...] = ()

    def __init__(self, folder: Path, radius: int) -> None:
        del folder
        assert radius == PDQIndex.get_match_threshold()
        # More threads make single queries slower: OpenMP waits for them.
        faiss.omp_set_num_threads(1)
        self._index = PDQIndex()

    def build(self, codes: Codes) -> None:
        """Add all, in portions."""
        for first in range(0, len(codes), PER_ADD):
            portion = codes[first : first + PER_ADD]
            self._index.add_all(
                [(code.tobytes().hex(), first + row) for row, code in enumerate(portion)]
            )

    def search(self, code: Codes) -> list[int]:
        """Query one."""
        return [match.metadata for match in self._index.query(code.tobytes().hex())]

    def search_many(self, codes: Codes) -> None:
        """Query one after another."""
        for code in codes:
            self.search(code)

    def add(self, number: int, code: Codes) -> None:
        """Add one."""
        self._index.add(code.tobytes().hex(), number)

    def close(self) -> None:
        """Nothing was started."""
