"""The ids of a segment: sorted 63-bit integers in a few bytes each.

Owns the two arrays of a column and the way between an id and its place. It
knows no codes and no files.

An id is cut in two: `low_bytes` bytes are stored for each, the high part is
where the id stands in a directory of bucket starts, as in a CSR matrix. Ids
that a store counts up take 1 or 2 bytes, random 63-bit ids 6.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from imageward_index.intrinsics import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

DIRECTORY_MAX = 1 << 16
"""Buckets of the directory."""

ID_MAX = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class IdColumn:
    """Sorted ids, none twice.

    Attributes:
        base: the lowest id.
        low: uint8 (ids, low_bytes), little-endian low part of id - base.
        directory: uint32 (buckets + 1,), where each high part begins.
    """

    base: int
    low: NDArray[np.uint8]
    directory: NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.low)

    def ids_at(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the ids at places, int64 (places,)."""
        ids = np.empty(len(places), np.int64)
        fill_ids(self.low, self.directory, self.base, places, ids)
        return ids

    def places_of(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the place of each id, int64; -1 where the column lacks it.

        A binary search over all ids at once: as many passes as the largest
        bucket has halvings.
        """
        if len(self) == 0:
            return np.full(len(ids), -1, np.int64)
        high = np.clip((ids - self.base) >> self._low_bits, 0, len(self.directory) - 2)
        first = self.directory[high].astype(np.int64)
        last = self.directory[high + 1].astype(np.int64)
        while np.any(first < last):
            middle = (first + last) >> 1
            below = (first < last) & (self.ids_at(np.minimum(middle, len(self) - 1)) < ids)
            first, last = np.where(below, middle + 1, first), np.where(below, last, middle)
        place = np.minimum(first, len(self) - 1)
        return np.where(self.ids_at(place) == ids, place, -1)

    def place_of(self, entry_id: int) -> int:
        """Return the place of one id, in a microsecond; -1 where the column lacks it."""
        if not 0 <= entry_id <= ID_MAX:
            return -1
        return find_place(self.low, self.directory, self.base, entry_id)

    @property
    def _low_bits(self) -> int:
        return 8 * int(self.low.shape[1])


def low_bytes_for(span: int) -> int:
    """Return the bytes that the low part takes when ids span so much."""
    return max(1, -(-(span // DIRECTORY_MAX).bit_length() // 8))


def column_of(ids: NDArray[np.int64]) -> IdColumn:
    """Make a column.

    Args:
        ids: int64 (ids,), 0..2**63 - 1, sorted, none twice.
    """
    base = int(ids[0]) if len(ids) else 0
    offsets = (ids - base).astype("<i8")
    span = int(offsets[-1]) if len(ids) else 0
    width = low_bytes_for(span)
    high = offsets >> (8 * width)
    counts = np.bincount(high, minlength=(span >> (8 * width)) + 1)
    directory = np.concatenate([[0], np.cumsum(counts)]).astype(np.uint32)
    low = np.ascontiguousarray(offsets.view(np.uint8).reshape(-1, 8)[:, :width])
    return IdColumn(base, low, directory)


@kernel
def fill_ids(
    low: NDArray[np.uint8],
    directory: NDArray[np.uint32],
    base: int,
    places: NDArray[np.int64],
    ids: NDArray[np.int64],
) -> None:
    """Write the ids at places (ids,) of a column to `ids` (ids,)."""
    low_bytes = low.shape[1]
    for i in range(len(places)):
        place = places[i]
        first, last = 0, len(directory) - 1
        while last - first > 1:
            middle = (first + last) >> 1
            if directory[middle] <= place:
                first = middle
            else:
                last = middle
        offset = np.int64(first) << (8 * low_bytes)
        for byte in range(low_bytes):
            offset |= np.int64(low[place, byte]) << (8 * byte)
        ids[i] = base + offset


@kernel
def find_place(
    low: NDArray[np.uint8], directory: NDArray[np.uint32], base: int, entry_id: int
) -> int:
    """Return the place of an id in a column by a binary search of its bucket; -1 if it lacks it."""
    low_bits = 8 * low.shape[1]
    offset = entry_id - base
    high = offset >> low_bits
    if offset < 0 or high >= len(directory) - 1:
        return -1
    wanted = offset - (high << low_bits)
    first, last = np.int64(directory[high]), np.int64(directory[high + 1])
    while first < last:
        middle = (first + last) >> 1
        value = np.int64(0)
        for byte in range(low.shape[1]):
            value |= np.int64(low[middle, byte]) << (8 * byte)
        if value == wanted:
            return int(middle)
        if value < wanted:
            first = middle + 1
        else:
            last = middle
    return -1
