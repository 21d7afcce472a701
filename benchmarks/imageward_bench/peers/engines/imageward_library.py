"""imageward's index in the caller's own process: a sealed segment and a tail."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imageward_index.block import Block
from imageward_index.index import Index
from imageward_index.manifest import Origin
from imageward_index.sealer import Sealer
from imageward_index.warm_up import warm_up

Codes = NDArray[np.uint8]


class Engine:
    """The index as a server's process holds it."""

    many = "one call with a batch"
    roots: tuple[int, ...] = ()

    def __init__(self, folder: Path, radius: int) -> None:
        warm_up()
        self._radius = radius
        self._index = Index()
        self._sealer = Sealer(self._index, folder / "segments", Origin("bench", "bench", 256))

    def build(self, codes: Codes) -> None:
        """Seal all."""
        self._sealer.build([Block(np.arange(len(codes)), codes)], 0)

    def search(self, code: Codes) -> list[int]:
        """Search one."""
        found: list[int] = self._index.search(code[np.newaxis], self._radius).ids.tolist()
        return found

    def search_many(self, codes: Codes) -> None:
        """Search a batch."""
        self._index.search(codes, self._radius)

    def add(self, number: int, code: Codes) -> None:
        """Add to the tail."""
        self._index.add(np.array([number]), code[np.newaxis])

    def close(self) -> None:
        """Let the folder go."""
        self._sealer.close()
