"""What a tail asks of the codes that it holds: to take more, and to find near ones."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray


class Near(NamedTuple):
    """Rows near queries: int64, shape (m,) each, in no order."""

    queries: NDArray[np.int64]
    rows: NDArray[np.int64]
    distances: NDArray[np.int64]


class FreshCodes(Protocol):
    """Codes by row. Changes are the caller's to keep from searches."""

    def __len__(self) -> int:
        """Count the rows."""

    def append(self, codes: NDArray[np.uint8]) -> None:
        """Add codes, uint8, shape (n, width in bytes), as the next rows."""

    def all(self) -> NDArray[np.uint8]:
        """Copy all codes, in the order of rows."""

    def keep(self, rows: NDArray[np.int64]) -> None:
        """Leave out all other rows; these, in rising order, are counted anew."""

    def search(self, queries: NDArray[np.uint8], radii: NDArray[np.int64]) -> Near:
        """Find every row within each query's radius, inclusive."""
