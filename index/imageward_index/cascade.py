"""One picture against a bank, from the cheapest sense to the dearest, until it is certain.

    WHOLE          its PDQ hash in 8 orientations
    TRIMMED        the same without borders, bars and chrome
    REGIONS        its regional codes, within 4 bits
    FAR            the same within 6
    MIRRORED       its regional codes mirrored, within 6
    FINE           more of its codes at more pixels, within 4
    FINE_MIRRORED  these mirrored

A pass that settles nothing leaves the next to look. The first finding that settles the
matter ends the cascade, and so does the end of the time. An answer says which passes ran:
one that was cut short is no statement that nothing is there.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from imageward_index.box import Box
from imageward_index.fingerprint import Fingerprint, RegionalPart
from imageward_index.geometry import (
    INLIERS_MIN,
    Alignment,
    Matrix,
    Query,
    align,
    map_corners,
    refine,
    verify,
)
from imageward_index.pdq import QUALITY_MIN, Orientation, OrientedHashes
from imageward_index.vote import Candidate, CodeHits, rank_candidates

NEAR_BITS: Final = 4
FAR_BITS: Final = 6
CANDIDATES_MAX: Final = 24
"""Entries whose seeds are grown in a pass."""

VERIFIED_MAX: Final = 10
"""Maps whose windows are looked at in a pass."""

Corners = tuple[tuple[float, float], ...]


class Pass(enum.IntEnum):
    """The steps of the cascade, in order."""

    WHOLE = 0
    TRIMMED = 1
    REGIONS = 2
    FAR = 3
    MIRRORED = 4
    FINE = 5
    FINE_MIRRORED = 6


FAST: Final = Pass.REGIONS
THOROUGH: Final = Pass.FINE_MIRRORED


class Looked(Protocol):
    """What the cascade asks of a picture; see `picture.Picture`."""

    @property
    def whole(self) -> OrientedHashes:
        """The PDQ hashes of the picture."""

    @property
    def trimmed(self) -> OrientedHashes | None:
        """The PDQ hashes of its content; None where that is all of it."""

    @property
    def coarse(self) -> Query:
        """The regions of its content, few, of larger features."""

    @property
    def fine(self) -> Query:
        """The regions of all of it, as many as a bank has."""


class WholeHits(NamedTuple):
    """PDQ hashes of a bank near those of a picture: (m,) each, and any order."""

    orientations: NDArray[np.int64]
    entries: NDArray[np.int64]
    distances: NDArray[np.int64]


class Searchable(Protocol):
    """What the cascade asks of a bank. Entries that are withdrawn are in none of the answers."""

    def find_whole(self, codes: NDArray[np.uint8]) -> WholeHits:
        """Find the PDQ hashes near the codes (8, 32), each within its bank's radius."""

    def find_codes(self, codes: NDArray[np.uint64], radius_bits: int) -> CodeHits:
        """Find every regional code within a radius, inclusive, of the codes (n,)."""

    def fingerprint(self, entry_id: int) -> Fingerprint | None:
        """The fingerprint of an entry that hits named; None if it was withdrawn since."""


@dataclass(frozen=True, slots=True)
class Finding:
    """An entry that was found in a picture, and how.

    Attributes:
        entry_id: the entry.
        found_by: the pass that found it.
        certain: whether it may speak for a BLOCK; otherwise a person should look: parts
            agree, but not enough, or the hash has too little detail to be relied on.
        distance_bits: of the PDQ hashes; None where regions found it.
        orientation: how the picture was turned for that; None likewise.
        coverage: 0..1, how much of the one was found in the other; None where PDQ found it.
        inliers: codes that agree on where it lies; 0 where PDQ found it.
        corners_in_picture: where the entry's content lies in the picture, clockwise from
            its top left, in shares of the picture's width and height; they may lie outside
            of 0..1. Empty where PDQ found it.
        corners_in_entry: where the looked-up content lies in the entry's image, likewise.
    """

    entry_id: int
    found_by: Pass
    certain: bool
    distance_bits: int | None = None
    orientation: Orientation | None = None
    coverage: float | None = None
    inliers: int = 0
    corners_in_picture: Corners = ()
    corners_in_entry: Corners = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What the cascade found.

    Attributes:
        findings: certain ones first, then by nearness or coverage.
        passes: the steps that ran.
        complete: whether nothing that was asked for was left out for want of time.
    """

    findings: tuple[Finding, ...]
    passes: tuple[Pass, ...]
    complete: bool

    @property
    def certain(self) -> bool:
        """Whether a finding is certain."""
        return any(finding.certain for finding in self.findings)


class _Grown(NamedTuple):
    """A map that a seed has grown to: query to the entry's content."""

    inliers: int
    entry_id: int
    part: RegionalPart
    to_bank: Matrix


def look_up(
    picture: Looked,
    bank: Searchable,
    *,
    budget_s: float,
    last: Pass = THOROUGH,
    settles: Callable[[Finding], bool] = lambda finding: finding.certain,
    clock: Callable[[], float] = time.monotonic,
) -> Answer:
    """Run the passes up to `last` until a finding settles it or the budget is spent.

    A pass that has begun is finished, so an answer may come one pass late.

    Args:
        picture: what is looked up.
        bank: where.
        budget_s: how long it may take, in seconds.
        last: the last pass to run.
        settles: whether a finding makes the passes after its own needless.
        clock: seconds that only grow.
    """
    deadline = clock() + budget_s
    findings: dict[int, Finding] = {}
    ran: list[Pass] = []
    for step in Pass:
        if step > last or any(map(settles, findings.values())):
            break
        if clock() >= deadline:
            return Answer(_sorted(findings), tuple(ran), complete=False)
        _keep_best(findings, _run(step, picture, bank))
        ran.append(step)
    return Answer(_sorted(findings), tuple(ran), complete=True)


def _run(step: Pass, picture: Looked, bank: Searchable) -> list[Finding]:
    if step is Pass.WHOLE:
        return _find_whole(step, picture.whole, bank)
    if step is Pass.TRIMMED:
        return _find_whole(step, picture.trimmed, bank) if picture.trimmed else []
    query = picture.fine if step >= Pass.FINE else picture.coarse
    if step in {Pass.MIRRORED, Pass.FINE_MIRRORED}:
        query = query.mirror()
    radius_bits = FAR_BITS if step in {Pass.FAR, Pass.MIRRORED} else NEAR_BITS
    return _find_parts(step, query, bank, radius_bits)


def _find_whole(step: Pass, hashes: OrientedHashes, bank: Searchable) -> list[Finding]:
    hits = bank.find_whole(hashes.codes)
    rows = zip(*(column.tolist() for column in hits), strict=True)
    return [
        Finding(
            entry_id,
            step,
            certain=hashes.quality >= QUALITY_MIN,
            distance_bits=distance,
            orientation=Orientation(orientation),
        )
        for orientation, entry_id, distance in rows
    ]


def _find_parts(step: Pass, query: Query, bank: Searchable, radius_bits: int) -> list[Finding]:
    hits = bank.find_codes(query.regions.codes, radius_bits)
    grown = [
        one
        for candidate in rank_candidates(hits, CANDIDATES_MAX)
        for one in _grow(query, candidate, bank.fingerprint(candidate.entry_id))
    ]
    grown.sort(key=lambda one: -one.inliers)
    findings = []
    for one in grown[:VERIFIED_MAX]:
        alignment = _verify(query, one)
        if alignment.is_certain or alignment.is_doubtful:
            findings.append(_as_finding(step, query, one, alignment))
    return findings


def _grow(query: Query, candidate: Candidate, stored: Fingerprint | None) -> list[_Grown]:
    """Grow each seed of a candidate to a map; those that stay alone are dropped."""
    if stored is None or stored.regional is None:
        return []
    part = stored.regional
    maps = (align(query, part.regions, seed) for seed in candidate.seeds)
    return [
        _Grown(inliers, candidate.entry_id, part, to_bank)
        for inliers, to_bank in maps
        if inliers >= INLIERS_MIN
    ]


def _verify(query: Query, grown: _Grown) -> Alignment:
    regions, grid = grown.part.regions, grown.part.grid
    alignment = verify(query, regions, grid, grown.inliers, grown.to_bank)
    return refine(query, regions, grid, alignment) if alignment.is_doubtful else alignment


def _as_finding(step: Pass, query: Query, grown: _Grown, alignment: Alignment) -> Finding:
    regions, pyramid = grown.part.regions, query.pyramid
    in_query = map_corners(np.linalg.inv(alignment.to_bank), regions.width, regions.height)
    in_bank = map_corners(alignment.to_bank, pyramid.width, pyramid.height)
    return Finding(
        grown.entry_id,
        step,
        certain=alignment.is_certain,
        coverage=alignment.coverage,
        inliers=alignment.inliers,
        corners_in_picture=_in_shares(in_query, pyramid.width, pyramid.height, query.content),
        corners_in_entry=_in_shares(in_bank, regions.width, regions.height, grown.part.content),
    )


def _in_shares(corners: Matrix | None, width: float, height: float, box: Box) -> Corners:
    """Corners within a part of this size, as shares of the image that the part is of."""
    if corners is None:
        return ()
    shares = corners / (width, height) * (box.width, box.height) + (box.left, box.top)
    return tuple((x, y) for x, y in shares.tolist())


def _keep_best(findings: dict[int, Finding], new: list[Finding]) -> None:
    for finding in new:
        known = findings.get(finding.entry_id)
        if known is None or _rank(finding) < _rank(known):
            findings[finding.entry_id] = finding


def _rank(finding: Finding) -> tuple[bool, bool, int, float, int]:
    """Certain before doubtful, the whole before its parts, then by nearness or coverage."""
    return (
        not finding.certain,
        finding.coverage is not None,
        finding.distance_bits or 0,
        -(finding.coverage or 0.0),
        finding.entry_id,
    )


def _sorted(findings: dict[int, Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(findings.values(), key=_rank))
