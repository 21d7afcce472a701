"""What the cascade asks of the banks of a check, and two indexes that answer it.

It knows hashes, regional codes and which bank is asked, and no pictures.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from imageward_index.entry_id import bank_number_of
from imageward_index.fingerprint import Fingerprint
from imageward_index.index import Index
from imageward_index.policy import Selection
from imageward_index.vote import CodeHits

_CODE_BYTES = 8


class WholeHits(NamedTuple):
    """PDQ hashes of a bank near those of a picture: (m,) each, and any order."""

    orientations: NDArray[np.int64]
    entries: NDArray[np.int64]
    distances: NDArray[np.int64]


class Searchable(Protocol):
    """What the cascade asks. Entries that are withdrawn are in none of the answers."""

    def find_whole(self, codes: NDArray[np.uint8]) -> WholeHits:
        """Find the PDQ hashes near the codes (8, 32), each within its bank's radius."""

    def find_codes(self, codes: NDArray[np.uint64], radius_bits: int) -> CodeHits:
        """Find every regional code within a radius, inclusive, of the codes (n,)."""

    def fingerprint(self, entry_id: int) -> Fingerprint | None:
        """The fingerprint of an entry that hits named; None if it was withdrawn since."""


class IndexedBanks:
    """The banks that one check asks, searched exactly. Safe under concurrent use.

    Args:
        hashes: PDQ hashes, 256 bits, under the ids of entries.
        codes: regional codes, 64 bits, in the order of each entry's fingerprint.
        fingerprint_of: the fingerprint of an entry; None if it is withdrawn.
        selection: which banks are asked, and how near a hash must be in each.
    """

    def __init__(
        self,
        hashes: Index,
        codes: Index,
        fingerprint_of: Callable[[int], Fingerprint | None],
        selection: Selection,
    ) -> None:
        self._hashes = hashes
        self._codes = codes
        self._fingerprint_of = fingerprint_of
        self._selection = selection

    def find_whole(self, codes: NDArray[np.uint8]) -> WholeHits:
        """Find the PDQ hashes near the codes (n, 32), each within its bank's radius."""
        if self._selection.radius_bits_max < 0:
            return WholeHits(*np.empty((3, 0), np.int64))
        found = self._hashes.search(codes, self._selection.radius_bits_max)
        near = found.distances <= self._selection.radius_of[bank_number_of(found.ids)]
        return WholeHits(found.queries[near], found.ids[near], found.distances[near])

    def find_codes(self, codes: NDArray[np.uint64], radius_bits: int) -> CodeHits:
        """Find every regional code of the banks within a radius, inclusive, of the codes (n,)."""
        rows = np.ascontiguousarray(codes, np.uint64).view(np.uint8).reshape(-1, _CODE_BYTES)
        found = self._codes.search(rows, radius_bits)
        asked = self._selection.radius_of[bank_number_of(found.ids)] >= 0
        return CodeHits(
            found.queries[asked], found.ids[asked], found.ordinals[asked], found.distances[asked]
        )

    def fingerprint(self, entry_id: int) -> Fingerprint | None:
        """The fingerprint of an entry that hits named; None if it was withdrawn since."""
        return self._fingerprint_of(entry_id)
