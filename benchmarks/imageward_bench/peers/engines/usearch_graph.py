"""usearch: its HNSW graph over packed bits, which is approximate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from usearch.compiled import MetricKind, ScalarKind
from usearch.index import Index

Codes = NDArray[np.uint8]
NEIGHBOURS = 10
BREADTH = 256


class Engine:
    """An index of bits by Hamming distance; the nearest ten, then those within the radius."""

    many = "one call with a batch"
    roots: tuple[int, ...] = ()

    def __init__(self, folder: Path, radius: int) -> None:
        del folder
        self._radius = radius
        self._index = Index(
            ndim=256,
            metric=MetricKind.Hamming,
            dtype=ScalarKind.B1,
            connectivity=16,
            expansion_add=128,
            expansion_search=BREADTH,
        )

    def build(self, codes: Codes) -> None:
        """Add all at once, on all cores."""
        self._index.add(np.arange(len(codes)), codes)

    def search(self, code: Codes) -> list[int]:
        """Search one."""
        found = self._index.search(code, NEIGHBOURS)
        keys, distances = np.atleast_1d(found.keys), np.atleast_1d(found.distances)
        return [int(key) for key in keys[distances <= self._radius]]

    def search_many(self, codes: Codes) -> None:
        """Search a batch."""
        self._index.search(codes, NEIGHBOURS)

    def add(self, number: int, code: Codes) -> None:
        """Add one."""
        self._index.add(number, code)

    def close(self) -> None:
        """Nothing was started."""
