"""The compiled loops of exact search among codes of one word: regional codes of 64 bits.

As in `kernels`, multi-index hashing whose probes are staged in blocks, but here each
table stands alone. A bank of pictures has hundreds of codes a picture, so a bucket of
a 16-bit slice would hold thousands; wider slices leave too few of them to pair. A
table holds for each entry the 32 bits that follow its slice, around the end of the
code if need be: the *sketch*, and the entry's row number.

A code within the radius r has a slice j in which it differs by some d <= t_j bits (the
pigeonhole of `slices`), and then by at most r - d in the sketch. So a bucket's
sketches are compared 16 at a time, a cache line, and of thousands one is looked at.

Nothing here allocates but the entrance, knows files or ids, or checks what it is given.
"""

# numba tells machine integers from each other, the annotations call them all int.
# mypy: disable-error-code="assignment, no-any-return, return-value"

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from imageward_index.intrinsics import (
    HALF_LANES,
    entrance,
    inlined,
    kernel,
    lowest_bit,
    near_halves,
    popcount,
    prefetch,
)
from imageward_index.kernels import (
    BLOCK_PROBES,
    BLOCK_RUNS,
    HITS,
    PROBES,
    PROBING,
    RESUMED,
    RUNS,
    SCANNING,
    Asked,
    Block,
    Found,
    Hits,
    Tables,
    enqueue,
    finish,
    new_block,
    new_found,
    new_hits,
    report,
    resolve,
    slice_at,
)
from imageward_index.slices import CANDIDATE_WORK, SCAN

if TYPE_CHECKING:
    from numpy.typing import NDArray

WORD_MASK = 63
SKETCH_MASK = 0xFFFFFFFF


@inlined
def sketch_at(word: int, part: int, bits: int) -> int:
    """Return the 32 bits of a code that follow slice `part`, around its end if need be."""
    shift = np.uint64((part + 1) * bits & WORD_MASK)
    back = (np.uint64(64) - shift) & np.uint64(WORD_MASK)
    return ((word >> shift) | (word << back)) & np.uint64(SKETCH_MASK)


@kernel
def _sift_run(
    tables: Tables, asked: Asked, block: Block, run: NDArray[np.int64], first: int, hits: Hits
) -> int:
    """Compare the buckets of one run with the query's sketch; return where it stopped."""
    last, query, part = run
    own = slice_at(asked.queries[query], part, tables.slice_bits)
    sketch = np.uint32(sketch_at(asked.queries[query, 0], part, tables.slice_bits))
    for probe in range(first, last):
        end = block.lasts[probe]
        differing = popcount(np.uint64(block.addresses[probe] ^ own))
        left = np.uint32(asked.radii[query] - differing)
        entry = max(block.firsts[probe], block.sizes[RESUMED])
        block.sizes[RESUMED] = 0
        while entry < end:
            near = near_halves(tables.sketches, entry, sketch, left)
            if end - entry < HALF_LANES:
                near &= np.uint64((1 << (end - entry)) - 1)
            while near != 0:
                _note(tables, hits, entry + lowest_bit(near), query, part)
                near &= near - np.uint64(1)
            entry += HALF_LANES
            if hits.size[0] >= HITS:
                block.sizes[RESUMED] = entry
                return probe
    return last


@inlined
def _note(tables: Tables, hits: Hits, entry: int, query: int, part: int) -> None:
    """Write down a hit."""
    prefetch(tables.rows, entry * tables.row_bytes)
    size = hits.size[0]
    hits.entries[size] = entry
    hits.queries[size] = query
    hits.slices[size] = part
    hits.size[0] = size + 1


@kernel
def _sift(tables: Tables, asked: Asked, block: Block, hits: Hits, found: Found) -> None:
    """Sift every run of a block and empty it."""
    first = 0
    for i in range(block.sizes[RUNS]):
        run = block.runs[i]
        while first < run[0] and found.states[run[1]] == PROBING:
            first = _sift_run(tables, asked, block, run, first, hits)
            if hits.size[0] >= HITS:
                _check(tables, asked, hits, found)
        first = run[0]
        block.sizes[RESUMED] = 0
    block.sizes[:] = 0


@kernel
def _check(tables: Tables, asked: Asked, hits: Hits, found: Found) -> None:
    """Read the codes of hits and keep those within the radius."""
    for i in range(hits.size[0]):
        at = hits.entries[i] * tables.row_bytes
        row = np.int64(0)
        for byte in range(tables.row_bytes):
            row |= np.int64(tables.rows[at + byte]) << (8 * byte)
        hits.entries[i] = row
        prefetch(tables.codes, row)
    for i in range(hits.size[0]):
        query = hits.queries[i]
        found.work[query] += CANDIDATE_WORK
        if found.work[query] > asked.work_max:
            found.states[query] = SCANNING
        if found.states[query] == PROBING:
            row = hits.entries[i]
            found.differing[0] = tables.codes[row] ^ asked.queries[query, 0]
            distance = popcount(found.differing[0])
            if distance <= asked.radii[query] and not _found_before(
                tables, asked, query, hits.slices[i], found
            ):
                report(asked, query, row, distance, found)
    hits.size[0] = 0


@kernel
def _found_before(tables: Tables, asked: Asked, query: int, part: int, found: Found) -> bool:
    """Tell whether a slice before `part` finds the code that differs as noted."""
    radii = asked.probe_radii[asked.radii[query]]
    for earlier in range(part):
        if (
            popcount(np.uint64(slice_at(found.differing, earlier, tables.slice_bits)))
            <= (radii[earlier])
        ):
            return True
    return False


@kernel
def _probe(
    tables: Tables, asked: Asked, filling: Block, waiting: Block, hits: Hits, found: Found
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
                    resolve(tables, filling, found, asked.work_max, HALF_LANES)
                    _sift(tables, asked, waiting, hits, found)
                    filling, waiting = waiting, filling
    resolve(tables, filling, found, asked.work_max, HALF_LANES)
    _sift(tables, asked, waiting, hits, found)
    _sift(tables, asked, filling, hits, found)
    _check(tables, asked, hits, found)


@entrance
def search_words(
    codes: NDArray[np.uint64],
    offsets: NDArray[np.uint32],
    sketches: NDArray[np.uint32],
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
    """Find every live code within the radii; arguments and answer are those of `kernels.search`."""
    for radius in radii:
        if not 0 <= radius < len(probe_radii):
            return np.empty((0, 3), np.int64), -1, 0
    tables = Tables(codes, offsets, sketches, rows, row_bytes, slice_bits, length)
    asked = Asked(probe_radii, flips, volumes, work_max, queries, radii, alive, first_only)
    found = new_found(queries, room)
    _probe(tables, asked, new_block(), new_block(), new_hits(), found)
    return finish(tables, asked, found)
