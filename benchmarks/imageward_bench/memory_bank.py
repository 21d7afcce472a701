"""A bank in memory for the cascade, searched by FAISS's flat scan: slow, exact, independent."""

from __future__ import annotations

from collections.abc import Sequence

import faiss
import numpy as np
from numpy.typing import NDArray

from imageward_index.cascade import WholeHits
from imageward_index.fingerprint import Fingerprint
from imageward_index.index import Index
from imageward_index.vote import CodeHits

WHOLE_RADIUS_BITS = 31
CODE_BYTES = 8


class MemoryBank:
    """Fingerprints under their places in a list."""

    def __init__(self, fingerprints: Sequence[Fingerprint]) -> None:
        self._fingerprints = list(fingerprints)
        self._whole = Index()
        codes = [np.frombuffer(one.whole.code, np.uint8) for one in self._fingerprints]
        self._whole.add(np.arange(len(codes)), np.reshape(codes, (-1, 32)).astype(np.uint8))
        parts = [
            NONE,
            *(one.regional.regions.codes if one.regional else NONE for one in self._fingerprints),
        ]
        self._entries = np.repeat(np.arange(len(parts)) - 1, [len(part) for part in parts])
        self._ordinals = np.concatenate([np.arange(len(part)) for part in parts])
        self._codes = faiss.IndexBinaryFlat(8 * CODE_BYTES)
        self._codes.add(_as_bytes(np.concatenate(parts)))

    def __len__(self) -> int:
        return len(self._fingerprints)

    def find_whole(self, codes: NDArray[np.uint8]) -> WholeHits:
        """Find PDQ hashes within 31 bits."""
        found = self._whole.search(codes, WHOLE_RADIUS_BITS)
        return WholeHits(found.queries, found.ids, found.distances)

    def find_codes(self, codes: NDArray[np.uint64], radius_bits: int) -> CodeHits:
        """Find regional codes within a radius, inclusive."""
        # FAISS leaves the radius out.
        limits, distances, rows = self._codes.range_search(_as_bytes(codes), radius_bits + 1)
        queries = np.repeat(np.arange(len(codes)), np.diff(limits.astype(np.int64)))
        return CodeHits(
            queries, self._entries[rows], self._ordinals[rows], distances.astype(np.int64)
        )

    def fingerprint(self, entry_id: int) -> Fingerprint | None:
        """Return the fingerprint of an entry."""
        return self._fingerprints[entry_id]


NONE = np.empty(0, np.uint64)


def _as_bytes(codes: NDArray[np.uint64]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(codes).view(np.uint8).reshape(-1, CODE_BYTES)
