"""Fresh codes in a FAISS flat binary index. The one file that imports faiss.

FAISS has traps, and each is closed here once:

- `range_search` excludes its radius, and returns distances as float32;
- a code of the wrong width raises an empty AssertionError, which `python -O` removes;
- every calling thread brings an OpenMP pool of its own.
"""

from __future__ import annotations

import faiss
import numpy as np
from numpy.typing import NDArray

from imageward_index.fresh_codes import Near

_NOTHING = Near(*np.empty((3, 0), np.int64))


class FlatCodes:
    """Codes by row, all of them scanned. Changes are the caller's to keep from searches."""

    def __init__(self, width_bits: int) -> None:
        self._flat = faiss.IndexBinaryFlat(width_bits)

    def __len__(self) -> int:
        return int(self._flat.ntotal)

    def append(self, codes: NDArray[np.uint8]) -> None:
        """Add codes, uint8, shape (n, width in bytes), as the next rows."""
        self._flat.add(np.ascontiguousarray(codes))

    def all(self) -> NDArray[np.uint8]:
        """Copy all codes, in the order of rows."""
        codes: NDArray[np.uint8] = self._flat.reconstruct_n(0, self._flat.ntotal)
        return codes

    def keep(self, rows: NDArray[np.int64]) -> None:
        """Leave out all other rows; these are counted anew."""
        codes = self.all()[rows]
        self._flat.reset()
        self._flat.add(codes)

    def search(self, queries: NDArray[np.uint8], radii: NDArray[np.int64]) -> Near:
        """Find every row within each query's radius, inclusive; in no order."""
        # The server's threads are its parallelism; a pool in each would only fight it.
        # OpenMP keeps the number by calling thread, so each must set it, not the import.
        faiss.omp_set_num_threads(1)
        limits, distances, rows = self._flat.range_search(
            np.ascontiguousarray(queries), int(radii.max()) + 1
        )
        if not len(rows):  # as of nearly every upload
            return _NOTHING
        query_rows = np.repeat(np.arange(len(queries)), np.diff(limits.astype(np.int64)))
        keep = distances <= radii[query_rows]
        return Near(query_rows[keep], rows[keep], distances[keep].astype(np.int64))
