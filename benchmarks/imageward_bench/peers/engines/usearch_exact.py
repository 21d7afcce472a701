"""usearch: its exhaustive search over an array of packed bits, on all cores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from usearch.compiled import MetricKind
from usearch.index import search

Codes = NDArray[np.uint8]
NEIGHBOURS = 10


class Engine:
    """An array; the nearest ten, then those within the radius."""

    many = "one call with a batch"
    roots: tuple[int, ...] = ()

    def __init__(self, folder: Path, radius: int) -> None:
        del folder
        self._radius = radius
        self._codes: Codes = np.empty((0, 32), np.uint8)

    def build(self, codes: Codes) -> None:
        """Keep a copy of the array."""
        self._codes = codes.copy()

    def search(self, code: Codes) -> list[int]:
        """Search one."""
        found = self._search(code[np.newaxis])
        keys, distances = np.atleast_1d(found.keys), np.atleast_1d(found.distances)
        return [int(key) for key in keys[distances <= self._radius]]

    def search_many(self, codes: Codes) -> None:
        """Search a batch."""
        self._search(codes)

    def add(self, number: int, code: Codes) -> None:
        """Append to the array."""
        assert number == len(self._codes)
        self._codes = np.concatenate([self._codes, code[np.newaxis]])

    def close(self) -> None:
        """Nothing was started."""

    def _search(self, codes: Codes) -> Any:  # noqa: ANN401 - its own class of matches
        return search(self._codes, codes, NEIGHBOURS, MetricKind.Hamming, exact=True)
