"""The compiled loops of exact Hamming search: probe, sift, check, scan.

Multi-index hashing (Norouzi, Punjani, Fleet: "Fast exact search in Hamming
space with multi-index hashing", 2014) over the tables that `slices` plans and
`segment` stores, with two changes.

**Slices come in pairs, and a pair filters itself.** A table holds, in the order
of its own slice, the value of its partner slice: the *sketch*, 16 bits. Give
slice j a probe radius t_j so that the t_j + 1 sum up to radius + 1. Then a code
within the radius has a pair (j, k) in which it differs by at most
t_j + t_k + 1 bits, and in such a pair it differs by at most t_j in slice j or by
at most t_k in slice k (the pigeonhole, twice). So a bucket's sketches are
compared 32 at a time, a cache line, and of 500 only one is looked at further.

**Only one table of a pair stores row numbers.** The other is asked for a pair of
values and both tables are sorted by both, so a survivor of the first is found
in the second by a short binary search.

A code is reported by the first slice that would find it and by no other, which
needs no set of codes seen. Memory latency is what a search costs, so work is
staged in blocks, and every stage prefetches what the next will read.

Nothing here allocates, knows files or ids, or checks what it is given.
"""

# numba tells machine integers from each other, the annotations call them all int.
# mypy: disable-error-code="assignment, no-any-return, return-value"

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from imageward_index.intrinsics import (
    LANES,
    WORD_LANES,
    entrance,
    inlined,
    kernel,
    lowest_bit,
    near_lanes,
    near_words,
    popcount,
    prefetch,
)
from imageward_index.slices import CANDIDATE_WORK, SCAN

if TYPE_CHECKING:
    from numpy.typing import NDArray

WORD_BITS = 64

BLOCK_PROBES = 256
"""Probes that are in flight together: their lines fit the first-level cache."""

BLOCK_RUNS = 64
"""Pairs of a query and a slice that a block's probes may come from."""

SCAN_ROWS = 4096
"""Rows that every scanned query reads before the next rows: they stay in cache."""

HITS = 512
"""Hits that are gathered before the next stage looks at them."""

PREFETCHED_LINES = 8
"""Of a longer bucket the rest is left to the processor, which sees the run by then."""

PROBING, SCANNING, DONE = 0, 1, 2

PROBES, RUNS, RESUMED = 0, 1, 2
"""The fields of a block's sizes."""


class Tables(NamedTuple):
    """The arrays of a segment; words are little-endian, bit i of a code is bit i % 64.

    Attributes:
        codes: uint64 (rows * words,).
        offsets: uint32 (slices * (2**slice_bits + 1),), where each bucket begins.
        sketches: uint16 (slices * rows + 32,), the partner slice, by own slice; of codes
            of one word as `word_kernels` says.
        rows: uint8 (slices / 2 * rows * row_bytes,), row numbers of the odd slices;
            of codes of one word of every slice.
        row_bytes: bytes a row number takes, 1..4.
        slice_bits: bits of a slice, 1..16.
        length: rows.
    """

    codes: NDArray[np.uint64]
    offsets: NDArray[np.uint32]
    sketches: NDArray[Any]
    rows: NDArray[np.uint8]
    row_bytes: int
    slice_bits: int
    length: int


class Asked(NamedTuple):
    """How a segment is searched, and what is searched for.

    Attributes:
        probe_radii: int64 (radius_max + 1, slices), -1 for a slice left out,
            `SCAN` first where a scan is cheaper.
        flips: uint32 (2**slice_bits,), every mask of a slice by rising weight.
        volumes: int64 (slice_bits + 2,), masks of weight < i.
        work_max: sketches compared before a query is scanned instead.
        queries: uint64 (queries, words).
        radii: int64 (queries,).
        alive: uint8 (rows / 8,), one bit a row, lowest first; empty when all live.
        first_only: stop a query at its first match.
    """

    probe_radii: NDArray[np.int64]
    flips: NDArray[np.uint32]
    volumes: NDArray[np.int64]
    work_max: int
    queries: NDArray[np.uint64]
    radii: NDArray[np.int64]
    alive: NDArray[np.uint8]
    first_only: bool


class Block(NamedTuple):
    """Probes on their way through the stages.

    Attributes:
        addresses: int64 (`BLOCK_PROBES`,), the slice value probed.
        firsts: int64 (`BLOCK_PROBES`,), the first entry of its bucket.
        lasts: int64 (`BLOCK_PROBES`,), the entry after the last.
        runs: int64 (`BLOCK_RUNS`, 3): the probe after the run, its query, its slice.
        sizes: int64 (3,): probes, runs, and the entry where a full stage resumes.
    """

    addresses: NDArray[np.int64]
    firsts: NDArray[np.int64]
    lasts: NDArray[np.int64]
    runs: NDArray[np.int64]
    sizes: NDArray[np.int64]


class Hits(NamedTuple):
    """Entries of tables that a query came near to: int64 (`HITS` + 32,) each."""

    entries: NDArray[np.int64]
    addresses: NDArray[np.int64]
    queries: NDArray[np.int64]
    slices: NDArray[np.int64]
    size: NDArray[np.int64]


class Found(NamedTuple):
    """Where results go.

    Attributes:
        matches: int64 (room, 3): query, row, distance. What does not fit is
            counted and dropped; the caller comes again with more room.
        size: int64 (1,), matches so far.
        states: uint8 (queries,), `PROBING`, `SCANNING` or `DONE`.
        work: int64 (queries,), sketches compared so far.
        differing: uint64 (words,), scratch.
    """

    matches: NDArray[np.int64]
    size: NDArray[np.int64]
    states: NDArray[np.uint8]
    work: NDArray[np.int64]
    differing: NDArray[np.uint64]


@inlined
def slice_at(words: NDArray[np.uint64], part: int, bits: int) -> int:
    """Return slice `part` of a code whose slices have `bits` bits each."""
    start = part * bits
    word, shift = start >> 6, start & 63
    value = words[word] >> np.uint64(shift)
    if shift + bits > WORD_BITS:
        value |= words[word + 1] << np.uint64(WORD_BITS - shift)
    return np.int64(value & ((np.uint64(1) << np.uint64(bits)) - np.uint64(1)))


@kernel
def enqueue(
    tables: Tables, asked: Asked, block: Block, query: int, part: int, flip: int, stop: int
) -> int:
    """Add probes of one query in one slice, flips from `flip` on; return the next flip."""
    own = slice_at(asked.queries[query], part, tables.slice_bits)
    base = part * ((1 << tables.slice_bits) + 1)
    size = block.sizes[PROBES]
    taken = min(stop - flip, BLOCK_PROBES - size)
    for i in range(taken):
        address = own ^ np.int64(asked.flips[flip + i])
        block.addresses[size + i] = address
        prefetch(tables.offsets, base + address)
    run = block.runs[block.sizes[RUNS]]
    run[0], run[1], run[2] = size + taken, query, part
    block.sizes[PROBES] += taken
    block.sizes[RUNS] += 1
    return flip + taken


@kernel
def resolve(tables: Tables, block: Block, found: Found, work_max: int, lanes: int) -> None:
    """Turn addresses into ranges of entries, and give up queries that cost too much.

    A line of sketches has `lanes` of them.
    """
    first = 0
    for i in range(block.sizes[RUNS]):
        last, query, part = block.runs[i]
        base = part * ((1 << tables.slice_bits) + 1)
        shift = part * tables.length
        for probe in range(first, last):
            at = base + block.addresses[probe]
            begin, end = np.int64(tables.offsets[at]), np.int64(tables.offsets[at + 1])
            block.firsts[probe] = shift + begin
            block.lasts[probe] = shift + end
            found.work[query] += end - begin
            ahead = min(end + lanes, begin + PREFETCHED_LINES * lanes)
            for entry in range(begin, ahead, lanes):
                prefetch(tables.sketches, shift + entry)
        if found.work[query] > work_max:
            found.states[query] = SCANNING
        first = last


@kernel
def _sift_run(
    tables: Tables, asked: Asked, block: Block, run: NDArray[np.int64], first: int, hits: Hits
) -> int:
    """Compare the buckets of one run with the query's sketch; return where it stopped."""
    last, query, part = run
    own = slice_at(asked.queries[query], part, tables.slice_bits)
    sketch = np.uint16(slice_at(asked.queries[query], part ^ 1, tables.slice_bits))
    radii = asked.probe_radii[asked.radii[query]]
    most = radii[part] + radii[part ^ 1] + 1
    for probe in range(first, last):
        end = block.lasts[probe]
        address = block.addresses[probe]
        left = np.uint16(most - popcount(np.uint64(address ^ own)))
        entry = max(block.firsts[probe], block.sizes[RESUMED])
        block.sizes[RESUMED] = 0
        while entry < end:
            near = near_lanes(tables.sketches, entry, sketch, left)
            if end - entry < LANES:
                near &= np.uint64((1 << (end - entry)) - 1)
            while near != 0:
                hit = entry + lowest_bit(near)
                near &= near - np.uint64(1)
                _note(tables, hits, hit, block.firsts[probe], address, query, part)
            entry += LANES
            if hits.size[0] >= HITS:
                block.sizes[RESUMED] = entry
                return probe
    return last


@inlined
def _note(
    tables: Tables, hits: Hits, hit: int, begin: int, address: int, query: int, part: int
) -> None:
    """Write down a hit; of equal entries in an even table only the first, it stands for all."""
    if part & 1:
        prefetch(tables.rows, _row_at(tables, part, hit))
    elif hit > begin and tables.sketches[hit] == tables.sketches[hit - 1]:
        return
    size = hits.size[0]
    hits.entries[size] = hit
    hits.addresses[size] = address
    hits.queries[size] = query
    hits.slices[size] = part
    hits.size[0] = size + 1


@kernel
def _sift(
    tables: Tables, asked: Asked, block: Block, strays: Hits, candidates: Hits, found: Found
) -> None:
    """Sift every run of a block and empty it."""
    first = 0
    for i in range(block.sizes[RUNS]):
        run = block.runs[i]
        hits = candidates if run[2] & 1 else strays
        while first < run[0] and found.states[run[1]] == PROBING:
            first = _sift_run(tables, asked, block, run, first, hits)
            if strays.size[0] >= HITS:
                _locate(tables, asked, strays, candidates, found)
            if candidates.size[0] >= HITS:
                _check(tables, asked, candidates, found)
        first = run[0]
        block.sizes[RESUMED] = 0
    block.sizes[:] = 0


@kernel
def _locate(tables: Tables, asked: Asked, strays: Hits, candidates: Hits, found: Found) -> None:
    """Find the hits of even tables, which lack row numbers, in their partners' tables."""
    for i in range(strays.size[0]):
        prefetch(tables.offsets, _partner_bucket(tables, strays, i))
    for i in range(strays.size[0]):
        begin, end = _partner_range(tables, strays, i)
        guess = begin + (((end - begin) * strays.addresses[i]) >> tables.slice_bits)
        prefetch(tables.sketches, guess - LANES // 2)
        prefetch(tables.sketches, guess + LANES // 2)
    for i in range(strays.size[0]):
        query, part, own = strays.queries[i], strays.slices[i], strays.addresses[i]
        begin, end = _partner_range(tables, strays, i)
        entry = _lower_bound(tables.sketches, begin, end, own, tables.slice_bits)
        while entry < end and tables.sketches[entry] == own and found.states[query] == PROBING:
            _note(tables, candidates, entry, begin, own, query, part | 1)
            # Found by the even slice, though in the odd one's table.
            candidates.slices[candidates.size[0] - 1] = part
            if candidates.size[0] >= HITS:
                _check(tables, asked, candidates, found)
            entry += 1
    strays.size[0] = 0


@inlined
def _partner_bucket(tables: Tables, strays: Hits, i: int) -> int:
    """Return which of all offsets begins the bucket of a stray's partner value."""
    buckets = (1 << tables.slice_bits) + 1
    return (strays.slices[i] + 1) * buckets + np.int64(tables.sketches[strays.entries[i]])


@inlined
def _partner_range(tables: Tables, strays: Hits, i: int) -> tuple[int, int]:
    """Return the entries of the bucket of a stray's partner value."""
    at = _partner_bucket(tables, strays, i)
    shift = (strays.slices[i] + 1) * tables.length
    return shift + np.int64(tables.offsets[at]), shift + np.int64(tables.offsets[at + 1])


@kernel
def _lower_bound(sketches: NDArray[np.uint16], begin: int, end: int, value: int, bits: int) -> int:
    """Return the first entry in a sorted range that is not below `value`."""
    low, high = begin, end
    step = 8
    guess = begin + (((end - begin) * value) >> bits)
    if guess < end and sketches[guess] < value:
        low = guess + 1
        while low + step < high and sketches[low + step] < value:
            low += step + 1
            step *= 2
        high = min(high, low + step)
    else:
        high = guess
        while high - step >= low and sketches[high - step] >= value:
            high -= step
            step *= 2
        low = max(low, high - step)
    while low < high:
        middle = (low + high) >> 1
        if sketches[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@inlined
def _row_at(tables: Tables, part: int, entry: int) -> int:
    """Return where the row number of an entry of the pair's odd table is stored."""
    pair = part >> 1
    return (entry - (pair + 1) * tables.length) * tables.row_bytes


@kernel
def _check(tables: Tables, asked: Asked, candidates: Hits, found: Found) -> None:
    """Read the candidates' codes and keep those within the radius."""
    words = asked.queries.shape[1]
    for i in range(candidates.size[0]):
        at = _row_at(tables, candidates.slices[i], candidates.entries[i])
        row = np.int64(0)
        for byte in range(tables.row_bytes):
            row |= np.int64(tables.rows[at + byte]) << (8 * byte)
        candidates.entries[i] = row
        prefetch(tables.codes, row * words)
    for i in range(candidates.size[0]):
        query = candidates.queries[i]
        found.work[query] += CANDIDATE_WORK
        if found.work[query] > asked.work_max:
            found.states[query] = SCANNING
        if found.states[query] == PROBING:
            distance = _distance(tables, asked, query, candidates.entries[i], found)
            if distance <= asked.radii[query] and not _found_before(
                tables, asked, query, candidates.slices[i], found
            ):
                report(asked, query, candidates.entries[i], distance, found)
    candidates.size[0] = 0


@inlined
def _distance(tables: Tables, asked: Asked, query: int, row: int, found: Found) -> int:
    """Return the Hamming distance, and leave the differing bits in `found.differing`."""
    words = asked.queries.shape[1]
    distance = 0
    for word in range(words):
        differing = tables.codes[row * words + word] ^ asked.queries[query, word]
        found.differing[word] = differing
        distance += popcount(differing)
    return distance


@kernel
def _found_before(tables: Tables, asked: Asked, query: int, part: int, found: Found) -> bool:
    """Tell whether a slice before `part` finds the code that differs as noted."""
    radii = asked.probe_radii[asked.radii[query]]
    for earlier in range(part):
        own = popcount(np.uint64(slice_at(found.differing, earlier, tables.slice_bits)))
        if own <= radii[earlier]:
            other = popcount(np.uint64(slice_at(found.differing, earlier ^ 1, tables.slice_bits)))
            if own + other <= radii[earlier] + radii[earlier ^ 1] + 1:
                return True
    return False


@kernel
def report(asked: Asked, query: int, row: int, distance: int, found: Found) -> None:
    """Write down a match unless its row is dead."""
    if len(asked.alive) and not (asked.alive[row >> 3] >> (row & 7)) & 1:
        return
    size = found.size[0]
    if size < len(found.matches):
        match = found.matches[size]
        match[0], match[1], match[2] = query, row, distance
    found.size[0] += 1
    if asked.first_only:
        found.states[query] = DONE


@kernel
def _probe(
    tables: Tables,
    asked: Asked,
    filling: Block,
    waiting: Block,
    strays: Hits,
    candidates: Hits,
    found: Found,
) -> None:
    for query in range(len(asked.queries)):
        radii = asked.probe_radii[asked.radii[query]]
        if len(radii) == 0 or radii[0] == SCAN:
            found.states[query] = SCANNING
            continue
        for part in range(len(radii)):
            flip, stop = 0, asked.volumes[radii[part] + 1]
            while flip < stop and found.states[query] == PROBING:
                flip = enqueue(tables, asked, filling, query, part, flip, stop)
                if filling.sizes[PROBES] == BLOCK_PROBES or filling.sizes[RUNS] == BLOCK_RUNS:
                    resolve(tables, filling, found, asked.work_max, LANES)
                    _sift(tables, asked, waiting, strays, candidates, found)
                    filling, waiting = waiting, filling
    resolve(tables, filling, found, asked.work_max, LANES)
    _sift(tables, asked, waiting, strays, candidates, found)
    _sift(tables, asked, filling, strays, candidates, found)
    _locate(tables, asked, strays, candidates, found)
    _check(tables, asked, candidates, found)


@kernel
def forget(found: Found) -> int:
    """Drop the matches of queries that will be scanned, which finds them again.

    Returns:
        How many such queries there are.
    """
    kept = 0
    for i in range(found.size[0]):
        if found.states[found.matches[i, 0]] != SCANNING:
            for column in range(3):
                found.matches[kept, column] = found.matches[i, column]
            kept += 1
    found.size[0] = kept
    scanned = 0
    for query in range(len(found.states)):
        scanned += found.states[query] == SCANNING
    return scanned


@kernel
def scan(tables: Tables, asked: Asked, found: Found) -> None:
    """Read every code for the queries that probing would not serve better."""
    for first in range(0, tables.length, SCAN_ROWS):
        last = min(first + SCAN_ROWS, tables.length)
        for query in range(len(asked.queries)):
            if found.states[query] == SCANNING:
                if asked.queries.shape[1] == 1:
                    _scan_words(tables, asked, query, first, last, found)
                else:
                    _scan_quads(tables, asked, query, first, last, found)


@kernel
def _scan_words(
    tables: Tables, asked: Asked, query: int, first: int, last: int, found: Found
) -> None:
    """Scan rows of one word, eight at a time, and what is left one by one."""
    word, radius = asked.queries[query, 0], asked.radii[query]
    whole = last - (last - first) % WORD_LANES
    for row in range(first, whole, WORD_LANES):
        near = near_words(tables.codes, row, word, np.uint64(radius))
        while near != 0 and found.states[query] == SCANNING:
            hit = row + lowest_bit(near)
            near &= near - np.uint64(1)
            report(asked, query, hit, popcount(tables.codes[hit] ^ word), found)
    for row in range(whole, last):
        distance = popcount(tables.codes[row] ^ word)
        if distance <= radius and found.states[query] == SCANNING:
            report(asked, query, row, distance, found)


@kernel
def _scan_quads(
    tables: Tables, asked: Asked, query: int, first: int, last: int, found: Found
) -> None:
    """Scan rows of four words, unrolled; memory is slower than this."""
    one, two, three, four = asked.queries[query]
    codes, radius = tables.codes, asked.radii[query]
    for row in range(first, last):
        at = row * 4
        distance = popcount(codes[at] ^ one) + popcount(codes[at + 1] ^ two)
        distance += popcount(codes[at + 2] ^ three) + popcount(codes[at + 3] ^ four)
        if distance <= radius and found.states[query] == SCANNING:
            report(asked, query, row, distance, found)


@entrance
def new_block() -> Block:
    """Make an empty block."""
    return Block(
        np.empty(BLOCK_PROBES, np.int64),
        np.empty(BLOCK_PROBES, np.int64),
        np.empty(BLOCK_PROBES, np.int64),
        np.empty((BLOCK_RUNS, 3), np.int64),
        np.zeros(3, np.int64),
    )


@entrance
def new_hits() -> Hits:
    """Make room for hits; a line's worth may come after the last that fits."""
    room = HITS + LANES
    return Hits(
        np.empty(room, np.int64),
        np.empty(room, np.int64),
        np.empty(room, np.int64),
        np.empty(room, np.int64),
        np.zeros(1, np.int64),
    )


@entrance
def new_found(queries: NDArray[np.uint64], room: int) -> Found:
    """Make room for so many matches."""
    return Found(
        np.empty((room, 3), np.int64),
        np.zeros(1, np.int64),
        np.zeros(len(queries), np.uint8),
        np.zeros(len(queries), np.int64),
        np.empty(queries.shape[1], np.uint64),
    )


@entrance
def finish(tables: Tables, asked: Asked, found: Found) -> tuple[NDArray[np.int64], int, int]:
    """Scan for the queries that were given up; return what `search` returns."""
    scanned = 0
    if found.size[0] <= len(found.matches):
        scanned = forget(found)
        if scanned:
            scan(tables, asked, found)
    return found.matches, found.size[0], scanned


@entrance
def search(
    codes: NDArray[np.uint64],
    offsets: NDArray[np.uint32],
    sketches: NDArray[np.uint16],
    rows: NDArray[np.uint8],
    row_bytes: int,
    slice_bits: int,
    length: int,
    probe_radii: NDArray[np.int64],
    flips: NDArray[np.uint32],
    volumes: NDArray[np.int64],
    work_max: int,
    queries: NDArray[np.uint64],
    radii: NDArray[np.int64],
    alive: NDArray[np.uint8],
    first_only: bool,  # noqa: FBT001  by position, as all
    room: int,
) -> tuple[NDArray[np.int64], int, int]:
    """Find every live code within the radii.

    The arguments are `Tables`, then `Asked`, spread out: numba takes arrays in a
    microsecond and named tuples in ten to a hundred.

    Returns:
        int64 (room, 3) of query, row and distance, in no order, each match once;
        how many there are, where more than `room` means: come again with so much,
        and -1 that a radius is out of range; and how many queries were scanned.
    """
    for radius in radii:
        if not 0 <= radius < len(probe_radii):
            return np.empty((0, 3), np.int64), -1, 0
    tables = Tables(codes, offsets, sketches, rows, row_bytes, slice_bits, length)
    asked = Asked(probe_radii, flips, volumes, work_max, queries, radii, alive, first_only)
    found = new_found(queries, room)
    _probe(tables, asked, new_block(), new_block(), new_hits(), new_hits(), found)
    return finish(tables, asked, found)
