"""One image or a batch of hashes against the banks: matches, and the verdict they mean.

1. search the index within the widest radius of the banks that are asked
2. keep what is within the radius of its own bank
3. of one image's orientations, keep each entry's nearest
4. the strongest action among the matches is the verdict
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imageward_index.entry_id import bank_number_of
from imageward_index.index import Index
from imageward_index.pdq import QUALITY_MIN, Orientation, OrientedHashes
from imageward_index.policy import Action, Selection, Verdict

MATCHES_MAX = 100
# Each block of a batch is reduced to at most MATCHES_MAX ids a query before the next
# is searched, so that a bank of near-equal hashes cannot fill the memory.
QUERIES_PER_BLOCK = 64


@dataclass(frozen=True, slots=True)
class Match:
    """An entry near an image, and how it was found.

    Attributes:
        entry_id: the entry, 63 bits.
        distance_bits: Hamming distance, 0..63.
        orientation: how the image was turned or mirrored to be that near.
    """

    entry_id: int
    distance_bits: int
    orientation: Orientation


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to one check.

    Attributes:
        verdict: the strongest of all matches.
        entry_ids: the entries behind a BLOCK or REVIEW, nearest first, at most 100.
        logged_entry_ids: matches in banks that only log, nearest first, at most 100.
        quality: of the image or hash, 0..100, where it is known.
    """

    verdict: Verdict
    entry_ids: tuple[int, ...] = ()
    logged_entry_ids: tuple[int, ...] = ()
    quality: int | None = None

    @property
    def low_quality(self) -> bool:
        """Whether the quality is known and too low to rely on."""
        return self.quality is not None and self.quality < QUALITY_MIN


class Matcher:
    """Answers checks from an index. Holds no state of its own; safe under concurrent use."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def check_image(self, hashes: OrientedHashes, selection: Selection) -> Decision:
        """Decide about one image, in all 8 orientations."""
        _, ids, _ = self._find_nearest(hashes, selection)
        return _decide(ids.tolist(), selection, hashes.quality)

    def check_hashes(
        self, codes: NDArray[np.uint8], qualities: Sequence[int | None], selection: Selection
    ) -> list[Decision]:
        """Decide about each hash, exactly as it is given.

        Args:
            codes: uint8, shape (n, 32).
            qualities: of each hash, 0..100, or None where it is not known.
            selection: the banks to ask.
        """
        decisions = [_decide((), selection, quality) for quality in qualities]
        for start in range(0, len(codes), QUERIES_PER_BLOCK):
            rows, ids, _ = self._search(codes[start : start + QUERIES_PER_BLOCK], selection)
            for row, matching in _group(rows, ids):
                at = start + row
                decisions[at] = _decide(matching, selection, qualities[at])
        return decisions

    def find_image(self, hashes: OrientedHashes, selection: Selection) -> list[Match]:
        """List the entries near an image in any orientation, nearest first, at most 100."""
        orientations, ids, distances = self._find_nearest(hashes, selection)
        return _as_matches(orientations, ids, distances)

    def find_hash(self, code: NDArray[np.uint8], selection: Selection) -> list[Match]:
        """List the entries near one hash, uint8 of shape (32,), nearest first, at most 100."""
        rows, ids, distances = self._search(code[np.newaxis], selection)
        return _as_matches(rows, ids, distances)

    def _find_nearest(
        self, hashes: OrientedHashes, selection: Selection
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]:
        """Find each entry once, in the orientation that brings it nearest, nearest first."""
        rows, ids, distances = self._search(hashes.codes, selection)
        by_nearness = np.lexsort((rows, ids, distances))
        _, first = np.unique(ids[by_nearness], return_index=True)
        nearest = by_nearness[np.sort(first)]
        return rows[nearest], ids[nearest], distances[nearest]

    def _search(
        self, codes: NDArray[np.uint8], selection: Selection
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]:
        if selection.radius_bits_max < 0:
            empty = np.empty(0, dtype=np.int64)
            return empty, empty, empty.astype(np.int32)
        rows, ids, distances = self._index.search(codes, selection.radius_bits_max)
        keep = distances <= selection.radius_of[bank_number_of(ids)]
        return rows[keep], ids[keep], distances[keep]


def _group(rows: NDArray[np.int64], ids: NDArray[np.int64]) -> Iterator[tuple[int, list[int]]]:
    """Split matches, which are sorted by row, into each row's ids."""
    if len(rows):
        asked, first = np.unique(rows, return_index=True)
        for row, matching in zip(asked.tolist(), np.split(ids, first[1:]), strict=True):
            yield row, matching.tolist()


def _decide(ids: Sequence[int], selection: Selection, quality: int | None) -> Decision:
    """Weigh the entries that match, nearest first."""
    low_quality = quality is not None and quality < QUALITY_MIN
    if not ids:
        verdict = Verdict.INCONCLUSIVE if low_quality else Verdict.ALLOW
        return Decision(verdict, quality=quality)
    by_action: dict[Action, list[int]] = {action: [] for action in Action}
    for entry_id in ids:
        by_action[selection.action_of[bank_number_of(entry_id)]].append(entry_id)
    blocking, reviewing = by_action[Action.BLOCK], by_action[Action.REVIEW]
    verdict = _weigh(blocking=bool(blocking), reviewing=bool(reviewing), low_quality=low_quality)
    behind = blocking if verdict is Verdict.BLOCK else [*blocking, *reviewing]
    return Decision(
        verdict=verdict,
        entry_ids=tuple(behind[:MATCHES_MAX]),
        logged_entry_ids=tuple(by_action[Action.LOG][:MATCHES_MAX]),
        quality=quality,
    )


def _weigh(*, blocking: bool, reviewing: bool, low_quality: bool) -> Verdict:
    # A hash of a picture without detail is near many others: a person must look
    # before anybody's upload is stopped for it.
    if blocking and not low_quality:
        return Verdict.BLOCK
    if blocking or reviewing:
        return Verdict.REVIEW
    return Verdict.INCONCLUSIVE if low_quality else Verdict.ALLOW


def _as_matches(
    rows: NDArray[np.int64], ids: NDArray[np.int64], distances: NDArray[np.int32]
) -> list[Match]:
    """Rows of the query are orientations; a lone hash is row 0, IDENTITY."""
    first = slice(MATCHES_MAX)
    found = zip(rows[first].tolist(), ids[first].tolist(), distances[first].tolist(), strict=True)
    return [Match(entry_id, distance, Orientation(row)) for row, entry_id, distance in found]
