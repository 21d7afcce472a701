"""A bank in memory for the cascade: the indexes that a server searches, sealed, without it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imageward_bench.decoys import Decoys
from imageward_index.block import Block
from imageward_index.fingerprint import Fingerprint
from imageward_index.index import Index
from imageward_index.policy import Bank, Policy, Selection
from imageward_index.searchable import IndexedBanks, WholeHits
from imageward_index.segment import Segment
from imageward_index.segment_writer import Stamp, write_segment
from imageward_index.vote import CodeHits

# Entries go by their places in the list, which are ids of bank 0.
SELECTION = Selection.of([Bank(0, "bank", Policy())])
STAMP = Stamp("none", 0, 0)
NO_CODES = np.empty(0, np.uint64)


class MemoryBank(IndexedBanks):
    """Fingerprints under their places in a list, and after them so many decoys.

    Attributes:
        search_s: processor seconds that searches took since it was last set.
    """

    def __init__(
        self, fingerprints: Sequence[Fingerprint], decoys: Decoys | None = None, count: int = 0
    ) -> None:
        self._fingerprints = list(fingerprints)
        self._decoys = decoys
        self.search_s = 0.0
        whole, parts = [], []
        for place in range(len(self._fingerprints) + count):
            # A decoy is let go again: a hundred thousand of them would fill the memory.
            one = self._entry(place)
            whole.append(np.frombuffer(one.whole.code, np.uint8))
            parts.append(one.codes)
        places = np.arange(len(parts))
        super().__init__(
            _sealed(places, np.reshape(whole, (-1, 32)).astype(np.uint8)),
            _sealed(np.repeat(places, [len(part) for part in parts]), _as_bytes(parts)),
            self._entry,
            SELECTION,
        )

    def find_whole(self, codes: NDArray[np.uint8]) -> WholeHits:
        """Search, and add to the time."""
        begun = time.thread_time()
        found = super().find_whole(codes)
        self.search_s += time.thread_time() - begun
        return found

    def find_codes(self, codes: NDArray[np.uint64], radius_bits: int) -> CodeHits:
        """Search, and add to the time."""
        begun = time.thread_time()
        found = super().find_codes(codes, radius_bits)
        self.search_s += time.thread_time() - begun
        return found

    def _entry(self, place: int) -> Fingerprint:
        real = len(self._fingerprints)
        if place < real or self._decoys is None:
            return self._fingerprints[place]
        return self._decoys.fingerprint(place - real)


def _sealed(ids: NDArray[np.int64], codes: NDArray[np.uint8]) -> Index:
    """Seal codes into a file that ends with its mapping, and search that."""
    index = Index(width_bits=8 * codes.shape[1])
    if len(codes):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "codes.segment"
            write_segment(path, [Block(ids, codes)], stamp=STAMP)
            index.restore([Segment.open(path)], [np.empty(0, np.int64)], 0)
    return index


def _as_bytes(parts: Sequence[NDArray[np.uint64]]) -> NDArray[np.uint8]:
    return np.concatenate([NO_CODES, *parts]).view(np.uint8).reshape(-1, 8)
