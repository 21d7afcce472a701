"""A bank for the cascade without a server: the real indexes, sealed into files that go away."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imageward_index.block import Block
from imageward_index.fingerprint import Fingerprint
from imageward_index.index import Index
from imageward_index.policy import Bank, Policy, Selection
from imageward_index.searchable import IndexedBanks
from imageward_index.segment import Segment
from imageward_index.segment_writer import Stamp, write_segment

# Entries go by their places in the list, which are ids of bank 0.
SELECTION = Selection.of([Bank(0, "bank", Policy())])
STAMP = Stamp("none", 0, 0)
NO_CODES = np.empty(0, np.uint64)


class MemoryBank(IndexedBanks):
    """Fingerprints under their places in a list."""

    def __init__(self, fingerprints: Sequence[Fingerprint]) -> None:
        self._fingerprints = list(fingerprints)
        whole = [np.frombuffer(one.whole.code, np.uint8) for one in self._fingerprints]
        parts = [
            one.regional.regions.codes if one.regional else NO_CODES for one in self._fingerprints
        ]
        places = np.arange(len(parts))
        super().__init__(
            _sealed(places, np.reshape(whole, (-1, 32)).astype(np.uint8)),
            _sealed(np.repeat(places, [len(part) for part in parts]), _as_bytes(parts)),
            self._fingerprints.__getitem__,
            SELECTION,
        )

    def __len__(self) -> int:
        return len(self._fingerprints)


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
