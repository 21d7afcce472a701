"""The index: codes under stable ids, every one within a radius found, none beyond.

It owns what a code, an id and a radius may be. How codes are held and scanned is
`tail`'s matter.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from imageward_index.errors import InvalidBatch, InvalidHash, InvalidRadius
from imageward_index.tail import Matches, Tail

RADIUS_BITS_MAX = 63


class Index:
    """An exact range index over binary codes in the Hamming space.

    Safe under concurrent use. A change is seen by every search that starts after
    it returned.

    Args:
        width_bits: bits a code, a multiple of 8.
    """

    def __init__(self, width_bits: int = 256) -> None:
        self._width_bytes = width_bits // 8
        self._tail = Tail(width_bits)

    def __len__(self) -> int:
        """Count the codes that searches can find."""
        return len(self._tail)

    def contains(self, ids: ArrayLike) -> NDArray[np.bool_]:
        """Say for each id, shape (n,), whether searches can find it."""
        return self._tail.contains(_as_ids(ids))

    def add(self, ids: ArrayLike, codes: NDArray[np.uint8]) -> None:
        """Add codes, all of them or none.

        Args:
            ids: int64, shape (n,), 0 or more, none of them in the index.
            codes: uint8, shape (n, width_bits / 8).

        Raises:
            InvalidBatch: ids and codes differ in number, or an id is negative or stands twice.
            InvalidHash: the codes have another width.
            DuplicateId: an id is in the index already.
        """
        id_array = _as_ids(ids)
        self._check_width(codes)
        if len(id_array) != len(codes):
            raise InvalidBatch(
                f"{len(id_array)} ids came with {len(codes)} codes; send one id a code"
            )
        if len(id_array):
            _refuse_negative(id_array)
            self._tail.add(id_array, codes)

    def withdraw(self, ids: ArrayLike) -> int:
        """Hide codes from every later search; unknown ids change nothing.

        Returns:
            How many were there to hide.
        """
        return self._tail.withdraw(_as_ids(ids))

    def search(self, queries: NDArray[np.uint8], radii: ArrayLike) -> Matches:
        """Find every code within the radius of each query.

        Args:
            queries: uint8, shape (q, width_bits / 8).
            radii: one for all or shape (q,), in bits, 0..63, inclusive.

        Returns:
            The matches, sorted by query, distance and id.

        Raises:
            InvalidHash: the queries have another width.
            InvalidRadius: a radius is outside 0..63.
        """
        self._check_width(queries)
        radius_array = np.broadcast_to(np.asarray(radii, dtype=np.int64), len(queries))
        if len(queries) and not 0 <= radius_array.min() <= radius_array.max() <= RADIUS_BITS_MAX:
            raise InvalidRadius(
                f"a radius of {radius_array.min()}..{radius_array.max()} bits was asked for; "
                f"use 0..{RADIUS_BITS_MAX}",
                radius_bits_max=RADIUS_BITS_MAX,
            )
        return self._tail.search(queries, radius_array)

    def _check_width(self, codes: NDArray[np.uint8]) -> None:
        if codes.dtype != np.uint8 or codes.shape[1:] != (self._width_bytes,):
            raise InvalidHash(
                f"codes are {codes.dtype} of shape {codes.shape}; "
                f"send uint8 of shape (n, {self._width_bytes})",
                bytes_expected=self._width_bytes,
            )


def _as_ids(ids: ArrayLike) -> NDArray[np.int64]:
    return np.ascontiguousarray(np.asarray(ids, dtype=np.int64).reshape(-1))


def _refuse_negative(ids: NDArray[np.int64]) -> None:
    # The upper bits of an id are its bank: a negative one would read as another bank's.
    if ids.min() < 0:
        raise InvalidBatch("an id of the batch is negative; send ids of 0 or more")
