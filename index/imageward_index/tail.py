"""The mutable part of the index: a FAISS flat binary index. The one file that imports faiss.

FAISS has traps, and each is closed here once:

- `range_search` excludes its radius, and returns distances as float32;
- a code of the wrong width raises an empty AssertionError, which `python -O` removes;
- it accepts an id twice, and knows nothing of withdrawn ones;
- adding while searching is undefined behaviour;
- every calling thread brings an OpenMP pool of its own.
"""

from __future__ import annotations

from typing import NamedTuple

import faiss
import numpy as np
from numpy.typing import NDArray

from imageward_index.errors import DuplicateId, InvalidBatch
from imageward_index.locks import ReadWriteLock

# Withdrawn rows are dropped once there are this many and they are half of all.
DEAD_ROWS_MIN = 4096


class Matches(NamedTuple):
    """Codes found near queries, sorted by query, distance and id.

    Attributes:
        queries: row of the query in the batch, int64, shape (m,).
        ids: id of the code, int64, shape (m,).
        distances: Hamming distance in bits, int32, shape (m,).
    """

    queries: NDArray[np.int64]
    ids: NDArray[np.int64]
    distances: NDArray[np.int32]

    @classmethod
    def sort(
        cls, queries: NDArray[np.int64], ids: NDArray[np.int64], distances: NDArray[np.int32]
    ) -> Matches:
        """Put matches that come in any order into theirs."""
        order = np.lexsort((ids, distances, queries))
        return cls(queries[order], ids[order], distances[order])


class Tail:
    """Codes with ids, searched by a scan of all of them.

    Safe under concurrent use: searches share, a change is alone for the time of
    its append.
    """

    def __init__(self, width_bits: int) -> None:
        self._flat = faiss.IndexBinaryFlat(width_bits)
        self._ids = np.empty(0, dtype=np.int64)
        self._alive = np.empty(0, dtype=np.bool_)
        self._row_of: dict[int, int] = {}
        self._lock = ReadWriteLock()

    def __len__(self) -> int:
        """Count the codes that searches can find."""
        return len(self._row_of)

    def contains(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Say for each id, shape (n,), whether searches can find it."""
        with self._lock.read():
            row_of = self._row_of
            return np.fromiter((i in row_of for i in ids.tolist()), np.bool_, count=len(ids))

    def add(self, ids: NDArray[np.int64], codes: NDArray[np.uint8]) -> None:
        """Make codes findable, all of them or none.

        Args:
            ids: int64, shape (n,), none of them live.
            codes: uint8, shape (n, width in bytes).

        Raises:
            InvalidBatch: an id stands twice in the batch.
            DuplicateId: an id is live already.
        """
        with self._lock.write():
            self._refuse_repeated(ids)
            first_row = self._flat.ntotal
            # First what may find no memory: a row without an id would break every search.
            self._reserve(first_row + len(ids))
            self._flat.add(np.ascontiguousarray(codes))
            self._ids[first_row : first_row + len(ids)] = ids
            self._alive[first_row : first_row + len(ids)] = True
            self._row_of.update(zip(ids.tolist(), range(first_row, self._flat.ntotal), strict=True))

    def withdraw(self, ids: NDArray[np.int64]) -> int:
        """Hide codes from every later search; ids that are not live change nothing.

        Returns:
            How many were live.
        """
        with self._lock.write():
            rows = [self._row_of.pop(i) for i in ids.tolist() if i in self._row_of]
            self._alive[rows] = False
            dead_rows = self._flat.ntotal - len(self._row_of)
            if dead_rows >= max(DEAD_ROWS_MIN, len(self._row_of)):
                self._drop_dead_rows()
            return len(rows)

    def search(self, queries: NDArray[np.uint8], radii: NDArray[np.int64]) -> Matches:
        """Find every live code within each query's radius, inclusive.

        Args:
            queries: uint8, shape (q, width in bytes).
            radii: int64, shape (q,), in bits.
        """
        # The server's threads are its parallelism; a pool in each would only fight it.
        # OpenMP keeps the number by calling thread, so each must set it, not the import.
        faiss.omp_set_num_threads(1)
        with self._lock.read():
            if not self._row_of or not len(queries):
                return _NOTHING
            limits, distances, rows = self._flat.range_search(
                np.ascontiguousarray(queries), int(radii.max()) + 1
            )
            query_rows = np.repeat(np.arange(len(queries)), np.diff(limits.astype(np.int64)))
            keep = (distances <= radii[query_rows]) & self._alive[rows]
            ids = self._ids[rows[keep]]
        return Matches.sort(query_rows[keep], ids, distances[keep].astype(np.int32))

    def _refuse_repeated(self, ids: NDArray[np.int64]) -> None:
        if len(np.unique(ids)) != len(ids):
            raise InvalidBatch("an id stands twice in one batch of codes; send each id once")
        if any(i in self._row_of for i in ids.tolist()):
            raise DuplicateId("an id is in the index already; withdraw it before adding it again")

    def _reserve(self, rows: int) -> None:
        """Grow the arrays beside the codes geometrically, as FAISS grows the codes."""
        if rows > len(self._ids):
            capacity = max(rows, 2 * len(self._ids), 1024)
            self._ids = np.resize(self._ids, capacity)
            self._alive = np.resize(self._alive, capacity)

    def _drop_dead_rows(self) -> None:
        live = np.flatnonzero(self._alive[: self._flat.ntotal])
        codes = self._flat.reconstruct_n(0, self._flat.ntotal)[live]
        ids = self._ids[live]
        self._flat.reset()
        self._flat.add(codes)
        self._ids, self._alive = ids, np.ones(len(ids), dtype=np.bool_)
        self._row_of = dict(zip(ids.tolist(), range(len(ids)), strict=True))


_NOTHING = Matches(
    np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int32)
)
