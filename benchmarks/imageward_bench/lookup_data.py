"""Regional codes of as many pictures as are wanted, distributed as those of photographs.

A made-up code is a real one of which some groups of bits come from another real code:

- both codes agree in the lowest 14 frequencies, and bits that go together in the real
  codes are in one group; so marginals are kept, and mostly what goes together;
- a code that has a near one in another real picture is of the *crowd*: edges and
  gradients that look alike everywhere. Crowds would thin out; so some of what is made
  up is a code of the crowd with two bits flipped, more often than crowds are met.

`compare` says how well that does: how often two pictures' codes share a slice, and how
often they are near each other, among real codes and among made-up ones.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from imageward_index.block import Block
from imageward_index.regions import BANK_CODES_MAX
from imageward_index.segment import Segment
from imageward_index.segment_writer import Stamp, reordered, write_segment
from imageward_index.slices import Plan, bit_order

Codes = NDArray[np.uint64]

GROUPS: Final = 8
GROUP_BITS: Final = 8
GIVEN_AWAY: Final = 4
"""Groups of bits that come from the other code."""

KIND_BITS: Final = 14
"""Lowest frequencies in which two codes agree before they exchange bits."""

CROWD_FLIPS: Final = 2
CROWD_FACTOR: Final = 3.5
"""Codes of the crowd among the made-up ones, for one among the real: it makes up for the flips."""

CROWD_BITS: Final = 8
"""A code is of the crowd if another picture has a code within so many bits."""

RADII: Final = (4, 6, 8)
QUERIES_A_STEP: Final = 1 << 12
_STRETCH: Final = 1 << 22


@dataclass(frozen=True, slots=True)
class RealCodes:
    """The regional codes of photographs.

    Attributes:
        codes: uint64, (n,).
        pictures: int64, (n,), which photograph each is of.
    """

    codes: Codes
    pictures: NDArray[np.int64]

    def only(self, keep: NDArray[np.bool_]) -> RealCodes:
        """Leave out the rest."""
        return RealCodes(self.codes[keep], self.pictures[keep])


@dataclass(frozen=True, slots=True)
class Likeness:
    """How codes lie to those of other pictures.

    Attributes:
        name: which codes.
        codes: how many.
        impostor_rates: by radius, the share of pairs of codes of two pictures that are so near.
        crowding: of each of three slices, how much longer a bucket is that is asked for
            than an average one.
    """

    name: str
    codes: int
    impostor_rates: dict[int, float]
    crowding: tuple[float, ...]


class Source:
    """Makes codes up from real ones."""

    def __init__(self, real: RealCodes) -> None:
        kinds = real.codes & np.uint64((1 << KIND_BITS) - 1)
        order = np.argsort(kinds, kind="stable")
        self._codes, kinds = real.codes[order], kinds[order]
        # Where the codes of a code's own kind begin, and how many there are.
        self._firsts = np.searchsorted(kinds, kinds)
        self._counts = np.searchsorted(kinds, kinds, side="right") - self._firsts
        self._crowd = np.flatnonzero(in_crowd(real)[order])
        self._masks = _masks(group_bits(real.codes), GIVEN_AWAY)
        self._flips = _masks([[bit] for bit in range(64)], CROWD_FLIPS)

    def make(self, count: int, rng: np.random.Generator) -> Codes:
        """Make codes up, uint64, (count,)."""
        made = np.empty(count, np.uint64)
        for first in range(0, count, _STRETCH):
            made[first : first + _STRETCH] = self._stretch(min(_STRETCH, count - first), rng)
        return made

    def _stretch(self, count: int, rng: np.random.Generator) -> Codes:
        kept = rng.integers(0, len(self._codes), count, np.int32)
        given = self._firsts[kept] + (rng.random(count) * self._counts[kept]).astype(np.int64)
        masks = self._masks[rng.integers(0, len(self._masks), count, np.int32)]
        made: Codes = (self._codes[kept] & ~masks) | (self._codes[given] & masks)
        like = np.flatnonzero(rng.random(count, np.float32) < self._crowd_share)
        flips = self._flips[rng.integers(0, len(self._flips), len(like))]
        made[like] = self._codes[self._crowd[rng.integers(0, len(self._crowd), len(like))]] ^ flips
        return made

    @property
    def _crowd_share(self) -> float:
        return CROWD_FACTOR * len(self._crowd) / len(self._codes)


def group_bits(codes: Codes) -> list[list[int]]:
    """Put bits that go together into groups, greedily by the size of their correlation."""
    bits = np.unpackbits(codes.view(np.uint8).reshape(-1, 8), axis=1, bitorder="little")
    # Of few pictures a bit may be always the same; a trace of noise gives it correlations.
    noise = np.random.default_rng(0).normal(0, 1e-6, bits.T.shape)
    together = np.abs(np.corrcoef(bits.T + noise))
    left = set(range(GROUPS * GROUP_BITS))
    groups = []
    for _ in range(GROUPS):
        group = [min(left)]
        left.remove(group[0])
        while len(group) < GROUP_BITS:
            nearest = max(left, key=lambda bit: float(together[bit, group].sum()))
            group.append(nearest)
            left.remove(nearest)
        groups.append(group)
    return groups


def in_crowd(real: RealCodes) -> NDArray[np.bool_]:
    """Say of each code whether another picture has one within `CROWD_BITS`."""
    near = np.zeros(len(real.codes), np.bool_)
    with _sealed(real) as segment:
        for rows, others, _ in _found(segment, real):
            near[rows[real.pictures[rows] != others]] = True
    return near


def compare(real: RealCodes, count: int, rng: np.random.Generator) -> list[Likeness]:
    """Compare real with made-up codes, both asked for with the codes of other pictures.

    Half of the pictures ask; the other half is searched, and so are `count` codes that
    are made up from it.
    """
    asking = real.pictures % 2 == 0
    queries, source = real.only(asking), real.only(~asking)
    made = RealCodes(Source(source).make(count, rng), np.arange(count) // BANK_CODES_MAX)
    return [
        _likeness("photographs", queries, source),
        _likeness("made up", queries, made),
    ]


def as_bytes(codes: Codes) -> NDArray[np.uint8]:
    """Return codes as the index takes them, uint8, (n, 8)."""
    return np.ascontiguousarray(codes).view(np.uint8).reshape(-1, 8)


def _likeness(name: str, queries: RealCodes, bank: RealCodes) -> Likeness:
    near = np.zeros(len(RADII))
    with _sealed(bank) as segment:
        plan = Plan(64, 3, 21)
        for _, _, distances in _found(segment, queries):
            near += [np.count_nonzero(distances <= radius) for radius in RADII]
    pairs = len(queries.codes) * len(bank.codes)
    rates = {radius: float(n) / pairs for radius, n in zip(RADII, near, strict=True)}
    return Likeness(name, len(bank.codes), rates, _crowding(plan, queries.codes, bank.codes))


def _crowding(plan: Plan, queries: Codes, codes: Codes) -> tuple[float, ...]:
    """Say for each slice how much longer a bucket is that a query meets than an average one."""
    order = bit_order(plan)
    asked, stored = (
        np.ascontiguousarray(reordered(as_bytes(part), order)).view(np.uint64).reshape(-1)
        for part in (queries, codes)
    )
    factors = []
    for part in range(plan.slices):
        shift, mask = np.uint64(part * plan.slice_bits), np.uint64((1 << plan.slice_bits) - 1)
        sizes = np.bincount(
            (stored >> shift & mask).astype(np.int64), minlength=1 << plan.slice_bits
        )
        met = sizes[(asked >> shift & mask).astype(np.int64)]
        factors.append(float(met.mean() * (1 << plan.slice_bits) / len(codes)))
    return tuple(factors)


@contextmanager
def _sealed(bank: RealCodes) -> Iterator[Segment]:
    """Seal codes under the numbers of their pictures, for a while."""
    with tempfile.TemporaryDirectory(prefix="imageward-bench-") as folder:
        path = Path(folder) / "codes"
        block = Block(bank.pictures, as_bytes(bank.codes))
        write_segment(path, [block], stamp=Stamp("benchmark", 0, 0))
        yield Segment.open(path)


def _found(
    segment: Segment, queries: RealCodes
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
    """Search in steps; yield rows of queries, pictures that were found, and distances."""
    for first in range(0, len(queries.codes), QUERIES_A_STEP):
        step = as_bytes(queries.codes[first : first + QUERIES_A_STEP])
        found = segment.search(step, np.full(len(step), max(RADII)))
        yield found.queries + first, found.ids, found.distances


def _masks(groups: list[list[int]], given_away: int) -> Codes:
    """Return the bits of every choice of so many groups."""
    words = [sum(1 << bit for bit in group) for group in groups]
    return np.array([sum(chosen) for chosen in combinations(words, given_away)], np.uint64)
