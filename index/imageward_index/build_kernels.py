"""The compiled loops that build a segment's tables: slice, sort, cut into buckets.

Owns how a pair of tables comes out of codes; what the tables are for is told in
`kernels`. Nothing here allocates, knows files, or checks what it is given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from imageward_index.intrinsics import kernel, prefetch
from imageward_index.kernels import slice_at
from imageward_index.word_kernels import sketch_at

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROW_BITS = 32
"""A packed entry: the row in the low 32 bits, then the odd slice, then the even."""

FIELD_BITS = 16

DIGIT_BITS = 8
"""Bits a sorting pass looks at: its 256 streams stay within the first-level TLB."""

PREFETCHED = 32
"""Codes that are asked for ahead: they lie anywhere."""


@kernel
def pack_pair(words: NDArray[np.uint64], pair: int, bits: int, packed: NDArray[np.uint64]) -> None:
    """Pack both slices of a pair and the row of every code (rows, words) into `packed`."""
    for row in range(len(words)):
        even = np.uint64(slice_at(words[row], 2 * pair, bits))
        odd = np.uint64(slice_at(words[row], 2 * pair + 1, bits))
        high = (even << np.uint64(FIELD_BITS)) | odd
        packed[row] = (high << np.uint64(ROW_BITS)) | np.uint64(row)


@kernel
def pack_slice(words: NDArray[np.uint64], part: int, bits: int, packed: NDArray[np.uint64]) -> None:
    """Pack one slice and the row of every code (rows, 1) into `packed`."""
    for row in range(len(words)):
        own = np.uint64(slice_at(words[row], part, bits))
        packed[row] = (own << np.uint64(ROW_BITS)) | np.uint64(row)


@kernel
def sort_digit(
    source: NDArray[np.uint64], target: NDArray[np.uint64], shift: int, starts: NDArray[np.int64]
) -> None:
    """Sort by the eight bits from `shift` on, stably: one pass of a radix sort.

    Args:
        source: uint64 (entries,).
        target: uint64 (entries,), overwritten.
        shift: the lowest bit looked at.
        starts: int64 (256,), scratch.
    """
    digit = np.uint64((1 << DIGIT_BITS) - 1)
    starts[:] = 0
    for entry in source:
        starts[(entry >> np.uint64(shift)) & digit] += 1
    total = 0
    for value in range(len(starts)):
        count = starts[value]
        starts[value] = total
        total += count
    for entry in source:
        value = (entry >> np.uint64(shift)) & digit
        target[starts[value]] = entry
        starts[value] += 1


@kernel
def fill_table(
    packed: NDArray[np.uint64],
    own_shift: int,
    other_shift: int,
    sketches: NDArray[np.uint16],
    offsets: NDArray[np.uint32],
) -> None:
    """Write one table from entries sorted by its own slice, then the partner's.

    Args:
        packed: uint64 (entries,).
        own_shift: the lowest bit of the table's own slice.
        other_shift: the lowest bit of the partner's.
        sketches: uint16 (entries,), overwritten.
        offsets: uint32 (2**slice_bits + 1,), zero at first.
    """
    field = np.uint64((1 << FIELD_BITS) - 1)
    for i in range(len(packed)):
        sketches[i] = (packed[i] >> np.uint64(other_shift)) & field
        offsets[((packed[i] >> np.uint64(own_shift)) & field) + np.uint64(1)] += np.uint32(1)
    for bucket in range(1, len(offsets)):
        offsets[bucket] += offsets[bucket - 1]


@kernel
def fill_word_table(
    packed: NDArray[np.uint64],
    words: NDArray[np.uint64],
    part: int,
    bits: int,
    sketches: NDArray[np.uint32],
    offsets: NDArray[np.uint32],
) -> None:
    """Write the table of one slice of codes of one word from entries sorted by it.

    Args:
        packed: uint64 (entries,).
        words: uint64 (entries, 1), the codes.
        part: which slice.
        bits: its bits.
        sketches: uint32 (entries,), overwritten.
        offsets: uint32 (2**bits + 1,), zero at first.
    """
    row_mask = np.uint64((1 << ROW_BITS) - 1)
    for i in range(len(packed)):
        if i + PREFETCHED < len(packed):
            prefetch(words, np.int64(packed[i + PREFETCHED] & row_mask))
        sketches[i] = sketch_at(words[packed[i] & row_mask, 0], part, bits)
        offsets[(packed[i] >> np.uint64(ROW_BITS)) + np.uint64(1)] += np.uint32(1)
    for bucket in range(1, len(offsets)):
        offsets[bucket] += offsets[bucket - 1]


@kernel
def fill_rows(packed: NDArray[np.uint64], row_bytes: int, rows: NDArray[np.uint8]) -> None:
    """Write the low `row_bytes` bytes of every entry's row, little-endian, to `rows`."""
    for i in range(len(packed)):
        for byte in range(row_bytes):
            rows[i * row_bytes + byte] = (packed[i] >> np.uint64(8 * byte)) & np.uint64(255)
