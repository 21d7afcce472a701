"""What the cascade asks of the banks of a check, and two indexes that answer it.

It knows hashes, regional codes and which bank is asked, and no pictures. Entries of banks
that are not asked are in no answer, so they neither match nor vote.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from imageward_index.entry_id import bank_number_of
from imageward_index.fingerprint import Fingerprint
from imageward_index.index import Index
from imageward_index.policy import Action, Selection
from imageward_index.vote import CodeHits

MATCHES_MAX = 100
"""Entries of one action that are named to a caller."""

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

    def find_hashes(self, codes: NDArray[np.uint8]) -> WholeHits:
        """Find the PDQ hashes near codes (n, 32), each within its bank's radius.

        They come by row, then nearest first, then by id.
        """
        if not self._selection.asks_any:
            return WholeHits(*np.empty((3, 0), np.int64))
        found = self._hashes.search(codes, self._selection.radius_bits_max)
        if not len(found.ids):
            return WholeHits(found.queries, found.ids, found.distances)
        near = found.distances <= self._selection.radius_of[bank_number_of(found.ids)]
        return WholeHits(found.queries[near], found.ids[near], found.distances[near])

    def find_whole(self, codes: NDArray[np.uint8]) -> WholeHits:
        """Find each near entry once, in the orientation that brings it nearest, nearest first.

        At most 100 of each action: a bank of near-equal hashes crowds out no other.
        """
        rows, ids, distances = self.find_hashes(codes)
        by_nearness = np.lexsort((rows, ids, distances))
        _, first = np.unique(ids[by_nearness], return_index=True)
        nearest = by_nearness[np.sort(first)]
        kept = nearest[self._named(ids[nearest])]
        return WholeHits(rows[kept], ids[kept], distances[kept])

    def find_codes(self, codes: NDArray[np.uint64], radius_bits: int) -> CodeHits:
        """Find every regional code within a radius, inclusive, of the codes (n,)."""
        if not self._selection.asks_any:
            return CodeHits(*np.empty((4, 0), np.int64))
        rows = np.ascontiguousarray(codes, np.uint64).view(np.uint8).reshape(-1, _CODE_BYTES)
        found = self._codes.search(rows, radius_bits)
        asked = self._selection.radius_of[bank_number_of(found.ids)] >= 0
        return CodeHits(
            found.queries[asked], found.ids[asked], found.ordinals[asked], found.distances[asked]
        )

    def fingerprint(self, entry_id: int) -> Fingerprint | None:
        """The fingerprint of an entry that hits named; None if it was withdrawn since."""
        return self._fingerprint_of(entry_id)

    def _named(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Say which of these are among the first hundred of their action."""
        if len(ids) <= MATCHES_MAX:
            return np.ones(len(ids), np.bool_)
        numbers, of_number = np.unique(bank_number_of(ids), return_inverse=True)
        ranks = {action: rank for rank, action in enumerate(Action)}
        actions = [ranks[self._selection.policy_of[number].action] for number in numbers.tolist()]
        action_of = np.array(actions)[of_number]
        named = np.zeros(len(ids), np.bool_)
        for rank in ranks.values():
            named[np.flatnonzero(action_of == rank)[:MATCHES_MAX]] = True
        return named
