"""What one picture was found to be: findings, the passes that ran, and whether all did."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from imageward_index.pdq import Orientation

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
        findings: certain ones first, the whole before parts, then by nearness or coverage.
        passes: the steps that ran to their end.
        complete: whether nothing that was asked for was left out for want of time.
    """

    findings: tuple[Finding, ...]
    passes: tuple[Pass, ...]
    complete: bool

    @property
    def certain(self) -> bool:
        """Whether a finding is certain."""
        return any(finding.certain for finding in self.findings)


class Findings:
    """The findings so far: of each entry the best."""

    def __init__(self) -> None:
        self._by_entry: dict[int, Finding] = {}

    def __iter__(self) -> Iterator[Finding]:
        return iter(self._by_entry.values())

    def keep(self, new: Finding) -> None:
        """Keep a finding if it is better than what is known of its entry."""
        known = self._by_entry.get(new.entry_id)
        if known is None or _rank(new) < _rank(known):
            self._by_entry[new.entry_id] = new

    def sorted(self) -> tuple[Finding, ...]:
        """Certain ones first, then by nearness or coverage."""
        return tuple(sorted(self._by_entry.values(), key=_rank))


def _rank(finding: Finding) -> tuple[bool, bool, int, float, int]:
    return (
        not finding.certain,
        finding.coverage is not None,
        finding.distance_bits or 0,
        -(finding.coverage or 0.0),
        finding.entry_id,
    )
