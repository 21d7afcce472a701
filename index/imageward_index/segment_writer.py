"""Building a sealed segment from codes and ids.

Owns the order of rows and what each array of the file holds. The bytes of the
file are `sealed_file`'s, the plan is `slices`'s, the loops are `build_kernels`'s.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from imageward_index.attachments import fill_attachments, place_attachments
from imageward_index.block import join_columns
from imageward_index.build_kernels import (
    DIGIT_BITS,
    FIELD_BITS,
    ROW_BITS,
    fill_rows,
    fill_table,
    fill_word_table,
    pack_pair,
    pack_slice,
    sort_digit,
)
from imageward_index.id_column import IdColumn, column_of
from imageward_index.intrinsics import HALF_LANES, LANES
from imageward_index.sealed_file import ArrayShape, sealing
from imageward_index.slices import Plan, bit_order, plan_for, row_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from imageward_index.block import Block
    from imageward_index.segment_keys import SegmentKeys

CODES_MAX = (1 << 32) - 1
"""Codes of a segment: offsets and row numbers have 32 bits."""

RADIUS_USUAL = {64: 6, 256: 31}
"""The radius that a plan is cut for, by width in bits."""

_STRETCH_ROWS = 1 << 16
"""Rows whose bits are put in order at a time."""

_ODD_SHIFT = ROW_BITS
_EVEN_SHIFT = ROW_BITS + FIELD_BITS


@dataclass(frozen=True, slots=True)
class Stamp:
    """Where a segment's codes come from.

    Attributes:
        hasher_version: the hasher that made them; codes of two do not compare.
        revision_first: the first change of the store that is in it.
        revision_last: the last.
    """

    hasher_version: str
    revision_first: int
    revision_last: int


def write_segment(
    path: Path,
    blocks: Sequence[Block],
    *,
    stamp: Stamp,
    plan: Plan | None = None,
    keys: SegmentKeys | None = None,
) -> None:
    """Seal codes into a file that `Segment.open` maps.

    Args:
        path: the file, replaced if it is there. It appears whole or not at all.
        blocks: one at least, no two with codes of one id; all with attachments or none.
            The codes are uint8 (codes, 8) or (codes, 32), bit i of a code is bit i % 8
            of byte i // 8. Those of an id keep their order.
        stamp: where they come from.
        plan: how to cut them; by default what the cost model says.
        keys: what to encrypt it with; None to write it in clear.

    Raises:
        ValueError: there are more codes than `CODES_MAX`, or not an id for each, or some
            ids have no attachment where others have.
        OSError: the disk is full or the folder cannot be written.
    """
    ids, codes = join_columns(blocks)
    if len(codes) != len(ids) or len(codes) > CODES_MAX:
        raise ValueError(f"{len(codes)} codes with {len(ids)} ids cannot be sealed.")
    order, unique, firsts = _order_of(ids)
    del ids
    column = column_of(unique)
    attached = place_attachments(blocks, unique)
    if plan is None:
        width_bits = codes.shape[1] * 8
        id_bytes = column.low.nbytes / max(len(codes), 1)
        plan = plan_for(len(codes), width_bits, RADIUS_USUAL[width_bits], id_bytes)
    shapes = array_shapes(plan, len(codes), column)
    if attached is not None:
        shapes |= attachment_shapes(column, int(attached[-1]))
    with sealing(path, shapes, None if keys is None else keys.make(path.name)) as draft:
        draft.header = {
            "codes": len(codes),
            "plan": asdict(plan),
            "bit_order": list(bit_order(plan)),
            "stamp": asdict(stamp),
            "id_base": column.base,
            "id_low_bytes": column.low.shape[1],
        }
        _fill_ids(draft.arrays, column, firsts)
        words = draft.arrays["codes"].reshape(len(codes), plan.width_bits // 64)
        _fill_codes(words, codes, order, bit_order(plan))
        fill_tables = _fill_paired_tables if plan.paired else _fill_word_tables
        fill_tables(draft.arrays, words, plan)
        if attached is not None:
            draft.arrays["attachment_firsts"][:] = attached
            fill_attachments(blocks, unique, attached, draft.arrays["attachments"])


def array_shapes(plan: Plan, length: int, column: IdColumn) -> dict[str, ArrayShape]:
    """Return the arrays of a segment with so many codes."""
    entries = plan.slices * length
    kind, lanes = ("<u2", LANES) if plan.paired else ("<u4", HALF_LANES)
    numbered = entries // 2 if plan.paired else entries
    return {
        "id_low": ArrayShape("<u1", column.low.size),
        "id_directory": ArrayShape("<u4", len(column.directory)),
        # Where ids have one code each, an id's place is its row.
        "id_firsts": ArrayShape("<u4", len(column) if len(column) < length else 0),
        "codes": ArrayShape("<u8", length * plan.width_bits // 64),
        "offsets": ArrayShape("<u4", plan.slices * (2**plan.slice_bits + 1)),
        # The kernels read whole lines, so one follows the last entry.
        "sketches": ArrayShape(kind, entries + lanes),
        "rows": ArrayShape("<u1", numbered * row_bytes(length)),
    }


def attachment_shapes(column: IdColumn, attached_bytes: int) -> dict[str, ArrayShape]:
    """Return the arrays that a segment has besides where its ids have attachments."""
    return {
        "attachment_firsts": ArrayShape("<u8", len(column) + 1),
        "attachments": ArrayShape("<u1", attached_bytes),
    }


def reordered(codes: NDArray[np.uint8], order: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return the codes, uint8 (codes, bytes), with bit order[i] at bit i."""
    made = np.empty_like(codes)
    # Each bit takes a byte meanwhile, so a stretch at a time.
    for first in range(0, len(codes), _STRETCH_ROWS):
        stretch = slice(first, first + _STRETCH_ROWS)
        bits = np.unpackbits(codes[stretch], axis=1, bitorder="little")
        made[stretch] = np.packbits(bits[:, order], axis=1, bitorder="little")
    return made


def keeps_order(order: tuple[int, ...]) -> bool:
    """Tell whether an order of bits moves none."""
    return order == tuple(range(len(order)))


def _order_of(
    ids: NDArray[np.int64],
) -> tuple[NDArray[np.uint32] | None, NDArray[np.int64], NDArray[np.int64]]:
    """Return what sorts the ids, None where they are sorted; each id once, and its first row.

    A store yields its entries by id: nothing is sorted or copied then.
    """
    order = None
    if not (ids[1:] >= ids[:-1]).all():
        order = np.argsort(ids, kind="stable").astype(np.uint32)
        ids = ids[order]
    firsts = np.flatnonzero(np.diff(ids, prepend=-1))
    return order, ids[firsts], firsts


def _fill_ids(arrays: dict[str, NDArray[Any]], column: IdColumn, firsts: NDArray[np.int64]) -> None:
    """Write the id column, and each id's first row where ids have several."""
    arrays["id_low"][:] = column.low.reshape(-1)
    arrays["id_directory"][:] = column.directory
    arrays["id_firsts"][:] = firsts[: len(arrays["id_firsts"])]


def _fill_codes(
    words: NDArray[np.uint64],
    codes: NDArray[np.uint8],
    order: NDArray[np.uint32] | None,
    bits: tuple[int, ...],
) -> None:
    """Write the codes in the order of rows and of the plan's bits, a stretch at a time."""
    keep = keeps_order(bits)
    for first in range(0, len(words), _STRETCH_ROWS):
        rows = slice(first, first + _STRETCH_ROWS)
        stretch = codes[rows if order is None else order[rows]]
        stored = stretch if keep else reordered(stretch, bits)
        words[rows] = np.ascontiguousarray(stored).view("<u8")


def _fill_paired_tables(
    arrays: dict[str, NDArray[Any]], words: NDArray[np.uint64], plan: Plan
) -> None:
    """Build the tables, a pair at a time, with memory for 16 bytes a code."""
    length, width = len(words), row_bytes(len(words))
    packed, spare = np.empty((2, length), np.uint64)
    sketches = arrays["sketches"][: plan.slices * length].reshape(plan.slices, length)
    offsets = arrays["offsets"].reshape(plan.slices, 2**plan.slice_bits + 1)
    rows = arrays["rows"].reshape(plan.slices // 2, length * width)
    for pair in range(plan.slices // 2):
        even, odd = 2 * pair, 2 * pair + 1
        pack_pair(words, pair, plan.slice_bits, packed)
        packed, spare = _sorted(packed, spare, (_EVEN_SHIFT, _ODD_SHIFT), plan.slice_bits)
        fill_table(packed, _ODD_SHIFT, _EVEN_SHIFT, sketches[odd], offsets[odd])
        fill_rows(packed, width, rows[pair])
        packed, spare = _sorted(packed, spare, (_EVEN_SHIFT,), plan.slice_bits)
        fill_table(packed, _EVEN_SHIFT, _ODD_SHIFT, sketches[even], offsets[even])


def _fill_word_tables(
    arrays: dict[str, NDArray[Any]], words: NDArray[np.uint64], plan: Plan
) -> None:
    """Build the tables of codes of one word one by one, with memory for 16 bytes a code."""
    length, bits = len(words), plan.slice_bits
    packed, spare = np.empty((2, length), np.uint64)
    sketches = arrays["sketches"][: plan.slices * length].reshape(plan.slices, length)
    offsets = arrays["offsets"].reshape(plan.slices, 2**bits + 1)
    rows = arrays["rows"].reshape(plan.slices, length * row_bytes(length))
    for part in range(plan.slices):
        pack_slice(words, part, bits, packed)
        packed, spare = _sorted(packed, spare, (ROW_BITS,), bits)
        fill_word_table(packed, words, part, bits, sketches[part], offsets[part])
        fill_rows(packed, row_bytes(length), rows[part])


def _sorted(
    packed: NDArray[np.uint64], spare: NDArray[np.uint64], fields: tuple[int, ...], bits: int
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Sort stably by fields of so many bits, the last weighing most; return sorted and spare.

    A radix sort with the least digit first: three times as fast here as numpy's.
    """
    starts = np.empty(1 << DIGIT_BITS, np.int64)
    for field in fields:
        for shift in range(field, field + bits, DIGIT_BITS):
            sort_digit(packed, spare, shift, starts)
            packed, spare = spare, packed
    return packed, spare
