"""Fresh codes of one word, in chains: found by multi-index hashing from the first one on.

A check asks for hundreds of regional codes, so scanning the unsealed ones would cost
it more than all sealed ones do. Here every code hangs in four chains, one for each of
its 16-bit slices: adding is a few stores, and a search walks the chains of the slice
values that `slices` says to probe. It knows no ids and no files.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from imageward_index.chain_kernels import SLICE_BITS, SLICES, hang, search_chains
from imageward_index.fresh_codes import Near
from imageward_index.segment_writer import reordered
from imageward_index.slices import Plan, bit_order, flips, probe_count, probe_radii

PLAN: Final = Plan(width_bits=64, slices=SLICES, slice_bits=SLICE_BITS)
RADIUS_MAX: Final = 8
WALKED_SHARE: Final = 0.1
"""A query that would walk past so large a share of the codes reads all of them instead."""

_CAPACITY_MIN: Final = 1024
_ROOM_FIRST: Final = 1024
_ORDER: Final = bit_order(PLAN)
_BACK: Final = tuple(int(bit) for bit in np.argsort(_ORDER))
_END: Final = -1


class ChainedCodes:
    """Codes by row. Changes are the caller's to keep from searches."""

    def __init__(self) -> None:
        self._length = 0
        self._codes = np.empty(0, np.uint64)
        self._heads = np.full(SLICES << SLICE_BITS, _END, np.int32)
        self._nexts = np.empty(0, np.int32)

    def __len__(self) -> int:
        return self._length

    def append(self, codes: NDArray[np.uint8]) -> None:
        """Add codes, uint8, shape (n, 8), as the next rows."""
        end = self._length + len(codes)
        self._reserve(end)
        self._codes[self._length : end] = _as_words(codes)
        hang(self._codes, self._heads, self._nexts, self._length, end)
        self._length = end

    def all(self) -> NDArray[np.uint8]:
        """Copy all codes, in the order of rows."""
        stored = self._codes[: self._length].view(np.uint8).reshape(-1, 8)
        return reordered(stored, _BACK)

    def keep(self, rows: NDArray[np.int64]) -> None:
        """Leave out all other rows; these, in rising order, are counted anew."""
        self._codes[: len(rows)] = self._codes[rows]
        self._heads.fill(_END)
        self._length = len(rows)
        hang(self._codes, self._heads, self._nexts, 0, self._length)

    def search(self, queries: NDArray[np.uint8], radii: NDArray[np.int64]) -> Near:
        """Find every row within each query's radius, inclusive; in no order."""
        words, table = _as_words(queries), _probes()
        walked_max = int(WALKED_SHARE * self._length)
        room, size = 0, _ROOM_FIRST
        while size > room:
            room = size
            matches, size = search_chains(
                self._codes,
                self._heads,
                self._nexts,
                self._length,
                *table,
                walked_max,
                words,
                np.array(radii),
                room,
            )
        return Near(*np.ascontiguousarray(matches[:size].T))

    def _reserve(self, rows: int) -> None:
        """Grow geometrically."""
        if rows > len(self._codes):
            capacity = max(rows, 2 * len(self._codes), _CAPACITY_MIN)
            codes, nexts = np.empty(capacity, np.uint64), np.empty(capacity * SLICES, np.int32)
            codes[: self._length] = self._codes[: self._length]
            nexts[: self._length * SLICES] = self._nexts[: self._length * SLICES]
            self._codes, self._nexts = codes, nexts


@cache
def _probes() -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the probe radii by radius, the masks of a slice, and how many have a weight < i."""
    radii = [probe_radii(PLAN, radius) for radius in range(RADIUS_MAX + 1)]
    volumes = [probe_count(PLAN.slice_bits, weight) for weight in range(-1, PLAN.slice_bits)]
    return np.array(radii), np.array(flips(PLAN, RADIUS_MAX)), np.array(volumes)


def _as_words(codes: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return codes as they are stored: uint64, (n,), bits in the plan's order."""
    return reordered(np.ascontiguousarray(codes), _ORDER).view(np.uint64).reshape(-1)
