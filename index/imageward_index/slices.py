"""The plan of a segment: how codes are cut into slices, and how each is probed.

Owns the arithmetic of multi-index hashing and its cost model; it knows no
arrays and no files.

A code of `width_bits` bits is cut into slices: an even number of at most 16 bits for
codes of several words, whose slices are *paired* (`kernels`), any number of at most 22
bits for codes of one word (`word_kernels`). Each slice has a table from its value to
the codes that have it. To find every code within `radius` bits, slice j is probed at
every value within t_j bits of the query's, where the t_j + 1 sum up to radius + 1:
were a code to differ by more than t_j bits in every slice, it would differ by more
than the radius. That is the pigeonhole of Greene, Parnas and Yao ("Multi-index hashing
for information retrieval", 1994), which Norouzi, Punjani and Fleet ("Fast exact search
in Hamming space with multi-index hashing", 2014) made practical; that the t_j may
differ and may be -1, a slice left out, is the general principle of Qin et al. ("GPH",
2018). Uniform and equal slices probe least, since the number of probes is convex in
t_j.

The cost of a search, in nanoseconds, is

    sum over slices of probes(t_j) * (PROBE_NS + bucket * ENTRY_NS)  +  candidates * CANDIDATE_NS

with probes(t) = sum over i <= t of C(slice_bits, i), bucket = codes / 2**slice_bits,
and candidates the entries that pass the filter of the kernels. The constants
were fitted to measurements on a 2.6 GHz EPYC, 1 and 10 million codes, radii 0 to
63: the model is within a third of them from 10 microseconds on. Being wrong
changes which plan is chosen, never a result.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from math import comb, inf

WORD_BITS = 64

SLICE_BITS_MAX = 16
"""A slice's value is the partner table's sketch, compared 16 bits a lane."""

WORD_SLICE_BITS_MAX = 22
"""Wider slices of codes of one word would have more offsets than a segment has codes."""

SLICES_MAX = 64

CLUSTERED_WIDTHS = (64,)
"""Widths whose bits are dealt out over the slices."""

PROBE_NS = 50.0
"""One bucket: the line of its offsets and the first line of its sketches."""

ENTRY_NS = 0.5
"""One sketch compared, 32 at a time as they stream in from memory."""

CANDIDATE_NS = 80.0
"""One entry past the filter: its row number, its code, on the average a lookup in the partner."""

CANDIDATE_WORK = round(CANDIDATE_NS / ENTRY_NS)
"""What a candidate costs, in sketches compared."""

SCAN_NS = {64: 0.35, 256: 1.5}
"""One code of a scan, by width in bits."""

WORD_ENTRY_NS = 0.35
"""One sketch of 32 bits compared, 16 at a time."""

CROWDING = {64: 3.0, 256: 1.0}
"""How much longer a bucket is that queries meet than an average one, by width in bits:
the regional codes of photographs cluster."""

BYTES_A_CODE_MAX = {64: 40.0, 256: 104.0}
"""What a code may take in a segment all told, by width in bits: sixteen slices of a
256-bit code take 90 to 95 bytes up to 16 million codes, and 98 to 103 beyond."""

SMALL_SEGMENT_BYTES = 1 << 26
"""Below this much the bound a code is not applied: the tables' fixed part dominates."""

SCAN = -2
"""Stands where a probe radius would: read every code instead."""

SLICE_BITS_MIN = 4

WORD_SKETCH_BITS = 32

WORD_SKETCH_BYTES = 4

SKETCH_BYTES = 2

OFFSET_BYTES = 4


@dataclass(frozen=True, slots=True)
class Plan:
    """How the codes of one segment are cut.

    Attributes:
        width_bits: bits of a code, a multiple of 64.
        slices: tables, an even number where they are paired; 0 when codes are always
            scanned.
        slice_bits: bits of a slice, 1..16 where they are paired, 1..22 else.
            Slice j is bits j * slice_bits on; bits beyond the last slice are in no
            table, which costs no match.
    """

    width_bits: int
    slices: int
    slice_bits: int

    def __post_init__(self) -> None:
        """Refuse what the kernels could not walk.

        Raises:
            ValueError: the slices are odd in number, too wide or too many.
        """
        fits = self.slices * self.slice_bits <= self.width_bits
        whole = not (self.paired and self.slices % 2) and 0 <= self.slices <= SLICES_MAX
        widest = SLICE_BITS_MAX if self.paired else WORD_SLICE_BITS_MAX
        if not (fits and whole and 1 <= self.slice_bits <= widest):
            raise ValueError(
                f"{self.slices} slices of {self.slice_bits} bits cannot cut {self.width_bits} bits"
            )

    @property
    def paired(self) -> bool:
        """Whether a slice's table holds the value of its partner, and stands not alone."""
        return self.width_bits > WORD_BITS


def bit_order(plan: Plan) -> tuple[int, ...]:
    """Return which bit of a code comes at each bit of the stored code.

    PDQ's bits are close to uniform and stay in place. The regional codes' low
    frequencies come first and cluster, so bits are dealt out like cards, and what the
    slices do not need comes after them. Bit 0, the same in 96 of 100 codes, tells
    least and is dealt last.
    """
    bits = tuple(range(plan.width_bits))
    if plan.width_bits not in CLUSTERED_WIDTHS or plan.slices == 0:
        return bits
    dealt = (*bits[1:], 0)
    cut = [
        bit for part in range(plan.slices) for bit in dealt[part :: plan.slices][: plan.slice_bits]
    ]
    return (*cut, *(bit for bit in dealt if bit not in cut))


def flips(plan: Plan, radius_max: int) -> list[int]:
    """Return the masks of a slice by rising weight, as many as searches up to a radius need."""
    most = max(probe_radii(plan, radius_max), default=-1)
    bits = [1 << bit for bit in range(plan.slice_bits)]
    weights = range(min(most, plan.slice_bits) + 1)
    return [sum(chosen) for weight in weights for chosen in combinations(bits, weight)]


def probe_count(slice_bits: int, radius: int) -> int:
    """Return how many values of a slice lie within `radius` bits of one; 0 for -1."""
    return sum(comb(slice_bits, weight) for weight in range(radius + 1))


def scan_ns(plan: Plan, codes: int) -> float:
    """Return the modelled time to read every code."""
    return SCAN_NS[plan.width_bits] * codes


def probe_radii(plan: Plan, radius_bits: int) -> tuple[int, ...]:
    """Deal radius + 1 units over the slices, as evenly as can be; t_j is its units less 1.

    A slice's cost is convex in its radius and slices are alike, so even is cheapest.
    """
    each, left = divmod(radius_bits + 1, plan.slices) if plan.slices else (0, 0)
    return tuple(each - (part >= left) for part in range(plan.slices))


def _sketch_passes(bits: int, most: int) -> float:
    """Return the share of uniform sketches of so many bits that have at most `most` set."""
    return probe_count(bits, most) / (1 << bits)


def _candidates(plan: Plan, own: int, most: int) -> float:
    """Return the share of uniform codes that a slice of probe radius `own` lets through.

    They differ by at most `most` bits in slice and sketch together.
    """
    sketch_bits = plan.slice_bits if plan.paired else WORD_SKETCH_BITS
    near = (
        comb(plan.slice_bits, weight) * _sketch_passes(sketch_bits, most - weight)
        for weight in range(own + 1)
    )
    return sum(near) / (1 << plan.slice_bits)


@lru_cache(maxsize=4096)
def search_ns(plan: Plan, codes: int, radius_bits: int) -> float:
    """Return the modelled time of one query by probing; infinite where it cannot be done."""
    if plan.slices == 0:
        return inf
    radii = probe_radii(plan, radius_bits)
    if max(radii) > plan.slice_bits:
        return inf
    bucket = CROWDING[plan.width_bits] * codes / (1 << plan.slice_bits)
    bucket_ns = PROBE_NS + bucket * (ENTRY_NS if plan.paired else WORD_ENTRY_NS)
    return sum(
        probe_count(plan.slice_bits, own) * bucket_ns
        + _candidates(plan, own, own + radii[part ^ 1] + 1 if plan.paired else radius_bits)
        * codes
        * CANDIDATE_NS
        for part, own in enumerate(radii)
    )


def row_bytes(codes: int) -> int:
    """Return the bytes that a row number takes among `codes` rows."""
    return max(1, ((codes - 1).bit_length() + 7) // 8)


def bytes_a_code(plan: Plan, codes: int, id_bytes: float) -> float:
    """Return the bytes a code takes: itself, its id, and its share of the tables."""
    sketch_bytes = SKETCH_BYTES if plan.paired else WORD_SKETCH_BYTES
    numbered = plan.slices // 2 if plan.paired else plan.slices
    entry_bytes = plan.slices * sketch_bytes + numbered * row_bytes(codes)
    offset_bytes = plan.slices * ((1 << plan.slice_bits) + 1) * OFFSET_BYTES
    return plan.width_bits / 8 + id_bytes + entry_bytes + offset_bytes / max(codes, 1)


def _fits(plan: Plan, codes: int, id_bytes: float) -> bool:
    """Tell whether a segment of this plan stays within its bytes."""
    each = bytes_a_code(plan, codes, id_bytes)
    return each <= BYTES_A_CODE_MAX[plan.width_bits] or each * codes <= SMALL_SEGMENT_BYTES


def _cuts(width_bits: int) -> list[Plan]:
    """Return every way to cut a code that is worth comparing; scanning first."""
    scanned = Plan(width_bits, 0, 1)
    if not scanned.paired:
        return [scanned, *_word_cuts(width_bits)]
    numbers = range(2, SLICES_MAX + 1, 2)
    cuts = [Plan(width_bits, m, min(SLICE_BITS_MAX, width_bits // m)) for m in numbers]
    return [scanned, *(cut for cut in cuts if cut.slice_bits >= SLICE_BITS_MIN)]


def _word_cuts(width_bits: int) -> list[Plan]:
    """Return the ways to cut a code of one word: two to five slices, of any width."""
    return [
        Plan(width_bits, slices, bits)
        for slices in range(2, 6)
        for bits in range(SLICE_BITS_MIN, min(WORD_SLICE_BITS_MAX, width_bits // slices) + 1)
    ]


def expected_ns(plan: Plan, codes: int, radius_bits: int) -> float:
    """Return the modelled time of one query, by probing or by scanning as is cheaper."""
    return min(scan_ns(plan, codes), search_ns(plan, codes, radius_bits))


@lru_cache(maxsize=256)
def plan_for(codes: int, width_bits: int, radius_bits: int, id_bytes: float = 8.0) -> Plan:
    """Return the plan that answers `radius_bits` soonest within the bytes allowed.

    Args:
        codes: how many codes the segment will hold.
        width_bits: 64 or 256.
        radius_bits: the radius that will be asked for most. Any other is still
            answered exactly, with other probe radii or by a scan.
        id_bytes: what an id takes.
    """
    fitting = [cut for cut in _cuts(width_bits) if _fits(cut, codes, id_bytes)]
    return min(fitting, key=lambda cut: expected_ns(cut, codes, radius_bits))


def probe_table(plan: Plan, codes: int, radius_max: int) -> list[tuple[int, ...]]:
    """Return the probe radii for every radius up to `radius_max`; `SCAN` first to scan."""
    scan = (SCAN,) * plan.slices
    return [
        probe_radii(plan, radius) if search_ns(plan, codes, radius) < scan_ns(plan, codes) else scan
        for radius in range(radius_max + 1)
    ]


def work_max(plan: Plan, codes: int) -> int:
    """Return how many sketches a query may compare before a scan would have been cheaper.

    Crowded buckets cost more than the model's uniform ones; a query that reaches
    this bound is scanned, so it costs at most about two scans.
    """
    return int(scan_ns(plan, codes) / ENTRY_NS)
