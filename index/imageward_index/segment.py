"""A sealed segment: codes that no longer change, and exact search among them.

Owns what a segment's arrays mean: how they are built from codes and ids, and how
they are searched. The bytes of the file are `sealed_file`'s, the plan is
`slices`'s, the loops are `kernels`'s. It knows no tail, no tombstones but the
`alive` bits it is handed, and no other segment.

Rows are in the order of ids; the codes of one id keep the order they came in,
and a code's place among them is its *ordinal*. Every array is sealed, so a
segment may be searched from any number of threads and processes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from imageward_index.errors import SegmentCorrupt, SegmentIncompatible
from imageward_index.id_column import IdColumn, column_of
from imageward_index.intrinsics import LANES
from imageward_index.kernels import Asked, Tables, search, slices_of
from imageward_index.sealed_file import ArrayShape, open_sealed, sealing
from imageward_index.slices import (
    Plan,
    bit_order,
    bytes_a_code,
    plan_for,
    probe_count,
    probe_table,
    row_bytes,
    work_max,
)

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

CODES_MAX = (1 << 32) - 1
"""Codes of a segment: offsets and row numbers have 32 bits."""

RADIUS_MAX = {64: 8, 256: 63}
"""The largest radius, by width in bits."""

RADIUS_USUAL = {64: 6, 256: 31}
"""The radius that a plan is cut for when the caller names none, by width in bits."""

ROOM_FIRST = 256
"""Matches a search has room for before it must come again."""

_REORDER_ROWS = 1 << 16

_NONE_DEAD = np.empty(0, np.uint8)


@dataclass(frozen=True, slots=True)
class SegmentMatches:
    """Matches sorted by query row, distance, id, ordinal.

    Attributes:
        query_rows: int64 (matches,).
        ids: int64 (matches,).
        ordinals: int64 (matches,), the code's place among its id's codes.
        distances: int64 (matches,), bits.
    """

    query_rows: NDArray[np.int64]
    ids: NDArray[np.int64]
    ordinals: NDArray[np.int64]
    distances: NDArray[np.int64]


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
    codes: NDArray[np.uint8],
    ids: NDArray[np.int64],
    *,
    stamp: Stamp,
    plan: Plan | None = None,
) -> None:
    """Seal codes into a file that `Segment.open` maps.

    Args:
        path: the file, replaced if it is there. It appears whole or not at all.
        codes: uint8 (codes, 8) or (codes, 32), bit i of a code is bit i % 8 of byte i // 8.
        ids: int64 (codes,), 0..2**63 - 1. One id may have many codes.
        stamp: where they come from.
        plan: how to cut them; by default what the cost model says.

    Raises:
        ValueError: there are more codes than `CODES_MAX`, or not an id for each.
        OSError: the disk is full or the folder cannot be written.
    """
    if len(codes) != len(ids) or len(codes) > CODES_MAX:
        raise ValueError(f"{len(codes)} codes with {len(ids)} ids cannot be sealed.")
    order = np.argsort(ids, kind="stable")
    unique, firsts = np.unique(ids[order], return_index=True)
    column = column_of(unique)
    width_bits = codes.shape[1] * 8
    plan = plan or plan_for(
        len(codes), width_bits, RADIUS_USUAL[width_bits], column.low.nbytes / max(len(codes), 1)
    )
    with sealing(path, _shapes(plan, len(codes), column)) as draft:
        draft.header = _header(plan, len(codes), column, stamp)
        draft.arrays["id_low"][:] = column.low.reshape(-1)
        draft.arrays["id_directory"][:] = column.directory
        if len(unique) < len(codes):
            draft.arrays["id_firsts"][:] = firsts
        words = draft.arrays["codes"].reshape(len(codes), width_bits // 64)
        _fill_codes(words, codes, order, plan)
        for pair in range(plan.slices // 2):
            _fill_pair(draft.arrays, words, plan, pair)


def _shapes(plan: Plan, length: int, column: IdColumn) -> dict[str, ArrayShape]:
    """Return the arrays of a segment; the sketches reach a line beyond the last entry."""
    entries = plan.slices * length
    return {
        "id_low": ArrayShape("<u1", column.low.size),
        "id_directory": ArrayShape("<u4", len(column.directory)),
        "id_firsts": ArrayShape("<u4", len(column) if len(column) < length else 0),
        "codes": ArrayShape("<u8", length * plan.width_bits // 64),
        "offsets": ArrayShape("<u4", plan.slices * (2**plan.slice_bits + 1)),
        "sketches": ArrayShape("<u2", entries + LANES),
        "rows": ArrayShape("<u1", entries // 2 * row_bytes(length)),
    }


def _header(plan: Plan, length: int, column: IdColumn, stamp: Stamp) -> dict[str, Any]:
    """Return what the file states about itself."""
    return {
        "width_bits": plan.width_bits,
        "codes": length,
        "slices": plan.slices,
        "slice_bits": plan.slice_bits,
        "bit_order": list(bit_order(plan)),
        "id_base": column.base,
        "id_low_bytes": column.low.shape[1],
        "hasher_version": stamp.hasher_version,
        "revision_first": stamp.revision_first,
        "revision_last": stamp.revision_last,
    }


def _reordered(codes: NDArray[np.uint8], order: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return the codes with bit order[i] at bit i."""
    if order == tuple(range(len(order))):
        return codes
    bits = np.unpackbits(codes, axis=1, bitorder="little")
    return np.packbits(bits[:, order], axis=1, bitorder="little")


def _fill_codes(
    words: NDArray[np.uint64], codes: NDArray[np.uint8], order: NDArray[np.int64], plan: Plan
) -> None:
    """Write the codes in the order of rows and of the plan's bits, a stretch at a time."""
    bits = bit_order(plan)
    for first in range(0, len(words), _REORDER_ROWS):
        stretch = codes[order[first : first + _REORDER_ROWS]]
        reordered = np.ascontiguousarray(_reordered(stretch, bits))
        words[first : first + _REORDER_ROWS] = reordered.view("<u8")


def _fill_pair(
    arrays: dict[str, NDArray[Any]], words: NDArray[np.uint64], plan: Plan, pair: int
) -> None:
    """Build both tables of a pair of slices, each sorted by its own value, then the other's.

    Sorting packed integers is as fast as a counting sort of our own: numpy sorts
    them in vector registers.
    """
    even, odd = np.empty((2, len(words)), np.uint64)
    slices_of(words, 2 * pair, plan.slice_bits, even)
    slices_of(words, 2 * pair + 1, plan.slice_bits, odd)
    both = ((even << 16) | odd).astype(np.uint32)
    both.sort()
    _fill_table(arrays, plan, 2 * pair, both >> 16, both)
    packed = (odd << 48) | (even << 32) | np.arange(len(words), dtype=np.uint64)
    packed.sort()
    _fill_table(arrays, plan, 2 * pair + 1, packed >> 48, packed >> 32)
    width = row_bytes(len(words))
    rows = arrays["rows"].reshape(plan.slices // 2, len(words), width)
    rows[pair] = packed.view(np.uint8).reshape(-1, 8)[:, :width]


def _fill_table(
    arrays: dict[str, NDArray[Any]],
    plan: Plan,
    part: int,
    own: NDArray[Any],
    other: NDArray[Any],
) -> None:
    """Write one table's sketches and the offsets of its buckets."""
    length, buckets = len(own), 2**plan.slice_bits
    arrays["sketches"][part * length : (part + 1) * length] = other.astype(np.uint16)
    counts = np.bincount(own.astype(np.int64), minlength=buckets)
    first = part * (buckets + 1)
    arrays["offsets"][first + 1 : first + buckets + 1] = np.cumsum(counts)


class Segment:
    """One mapped segment. Safe for any number of threads at once: nothing in it changes.

    Attributes:
        path: the file.
        plan: how the codes are cut.
        stamp: where they come from.
    """

    def __init__(self, path: Path, header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        self.path = path
        self.plan = Plan(header["width_bits"], header["slices"], header["slice_bits"])
        self.stamp = Stamp(
            header["hasher_version"], header["revision_first"], header["revision_last"]
        )
        self._length: int = header["codes"]
        self._bit_order = tuple(header["bit_order"])
        self._arrays = arrays
        low = arrays["id_low"].reshape(-1, header["id_low_bytes"])
        self._column = IdColumn(header["id_base"], low, arrays["id_directory"])

    @classmethod
    def open(cls, path: Path, hasher_version: str) -> Self:
        """Map a segment, every byte of it checked.

        Args:
            path: the file.
            hasher_version: the hasher whose codes will be asked for.

        Raises:
            SegmentCorrupt: the file is torn, flipped or no segment.
            SegmentIncompatible: it is of another format version or hasher.
            OSError: it cannot be read.
        """
        header, arrays = open_sealed(path)
        if header["hasher_version"] != hasher_version:
            raise SegmentIncompatible(
                f"A segment was made by hasher {header['hasher_version']}, "
                f"this version has {hasher_version}.",
                path,
            )
        segment = cls(path, header, arrays)
        segment._check_shapes()
        return segment

    def __len__(self) -> int:
        """Return how many codes are in it, dead ones too."""
        return self._length

    @property
    def file_bytes(self) -> int:
        """Return the bytes of the file."""
        return self.path.stat().st_size

    def search(
        self,
        queries: NDArray[np.uint8],
        radii: NDArray[np.int64],
        alive: NDArray[np.uint8] | None = None,
        *,
        first_only: bool = False,
    ) -> SegmentMatches:
        """Find every live code within a radius of each query, and none beyond.

        Args:
            queries: uint8 (queries, 8) or (queries, 32), as the codes were given.
            radii: int64 (queries,), bits, inclusive, 0..`RADIUS_MAX`.
            alive: uint8 (rows / 8,) from `all_alive`, or None when no row is dead.
            first_only: one match a query is enough, whichever is met first.

        Returns:
            The matches, each once.
        """
        asked = self._asked(queries, radii, alive, first_only=first_only)
        matches, size = search(self._tables, asked, ROOM_FIRST)
        while size > len(matches):
            matches, size = search(self._tables, asked, size)
        return self._named(matches[:size])

    def all_alive(self) -> NDArray[np.uint8]:
        """Return the bits of a segment whose rows are all alive, to be changed by `bury`."""
        return np.full(-(-self._length // 8), 255, np.uint8)

    def bury(self, alive: NDArray[np.uint8], ids: NDArray[np.int64]) -> int:
        """Clear the bits of every code of these ids; return how many were alive."""
        rows = self.rows_of(ids)
        bits = (1 << (rows & 7)).astype(np.uint8)
        living = np.count_nonzero(alive[rows >> 3] & bits)
        np.bitwise_and.at(alive, rows >> 3, ~bits)
        return int(living)

    def contains(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell for each id whether the segment has codes of it, dead or alive."""
        return self._column.places_of(ids) >= 0

    def rows_of(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the rows of every code of these ids; ids it lacks have none."""
        places = self._column.places_of(np.unique(ids))
        places = places[places >= 0]
        firsts, lasts = self._first_row(places), self._first_row(places + 1)
        counts = lasts - firsts
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return np.repeat(firsts, counts) + within

    def ids_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the id of each row."""
        return self._column.ids_at(self._place_of(rows))

    def codes_of(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the codes of rows as they were given to `write_segment`."""
        width = self.plan.width_bits // 64
        stored = np.ascontiguousarray(self._arrays["codes"].reshape(-1, width)[rows])
        return _reordered(stored.view(np.uint8), tuple(np.argsort(self._bit_order).tolist()))

    def _check_shapes(self) -> None:
        """Refuse arrays that do not fit each other: the kernels would read beside them."""
        expected = _shapes(self.plan, self._length, self._column)
        actual = {name: len(array) for name, array in self._arrays.items()}
        if actual != {name: shape.length for name, shape in expected.items()}:
            raise SegmentCorrupt("The arrays of a segment do not fit each other.", self.path)

    @cached_property
    def _tables(self) -> Tables:
        arrays = self._arrays
        return Tables(
            arrays["codes"],
            arrays["offsets"],
            arrays["sketches"],
            arrays["rows"],
            row_bytes(self._length),
            self.plan.slice_bits,
            self._length,
        )

    @cached_property
    def _probing(self) -> tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.int64]]:
        """Return probe radii by radius, the flips of a slice by weight, and their volumes."""
        bits = self.plan.slice_bits
        radii = probe_table(self.plan, self._length, RADIUS_MAX[self.plan.width_bits])
        masks = np.arange(2**bits, dtype=np.uint32)
        flips = masks[np.argsort(np.bitwise_count(masks), kind="stable")]
        volumes = np.array([probe_count(bits, r) for r in range(-1, bits + 1)], np.int64)
        table = np.array(radii, np.int64).reshape(len(radii), self.plan.slices)
        return table, flips, volumes

    def _asked(
        self,
        queries: NDArray[np.uint8],
        radii: NDArray[np.int64],
        alive: NDArray[np.uint8] | None,
        *,
        first_only: bool,
    ) -> Asked:
        # Copies: the kernels are compiled for writable arrays, and compile anew for others.
        words = np.array(_reordered(queries, self._bit_order), order="C").view(np.uint64)
        probe_radii, flips, volumes = self._probing
        return Asked(
            words,
            np.array(radii, np.int64),
            probe_radii,
            flips,
            volumes,
            _NONE_DEAD if alive is None else alive,
            work_max(self.plan, self._length),
            first_only,
        )

    def _named(self, matches: NDArray[np.int64]) -> SegmentMatches:
        """Put ids for rows, and sort."""
        query_rows, rows, distances = matches.T
        places = self._place_of(rows)
        ids = self._column.ids_at(places)
        order = np.lexsort((rows, ids, distances, query_rows))
        ordinals = rows - self._first_row(places)
        return SegmentMatches(query_rows[order], ids[order], ordinals[order], distances[order])

    def _place_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the place in the id column of each row."""
        firsts = self._arrays["id_firsts"]
        if not len(firsts):
            return rows
        return np.searchsorted(firsts, rows.astype(np.uint32), side="right") - 1

    def _first_row(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the first row of each place; the number of rows for the place after the last."""
        firsts = self._arrays["id_firsts"]
        if not len(firsts):
            return places
        last = places == len(firsts)
        inside = np.where(last, 0, places)
        return np.where(last, self._length, firsts[inside].astype(np.int64))


def warm_up() -> None:
    """Compile every kernel, or load it from numba's cache, for both widths.

    Call it before serving: the first call takes seconds when nothing is cached.
    """
