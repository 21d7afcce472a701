"""What the server's tests share: real SQLite stores, a clock that moves, new entries."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from imageward_index.box import WHOLE_IMAGE
from imageward_index.fingerprint import Fingerprint, RegionalPart, round_regional
from imageward_index.grid import WINDOWS, Grid
from imageward_index.pdq import PdqHash
from imageward_index.regions import Regions
from imageward_server.store import EntrySource, NewEntry, Store
from imageward_server.store.engine import sqlite_url

MakeEntries = Callable[..., list[NewEntry]]


def make_part(rng: np.random.Generator, count: int) -> RegionalPart:
    """Make a regional part of so many random codes."""
    codes = rng.integers(0, 1 << 64, count, dtype=np.uint64)
    frames = np.column_stack([*rng.random((2, count)), np.full(count, 0.01), np.zeros(count)])
    smooth = rng.random(WINDOWS) < 0.5
    signs = rng.integers(0, 1 << 16, WINDOWS, dtype=np.uint16)
    grid = Grid(signs, ~smooth, smooth)
    return round_regional(RegionalPart(WHOLE_IMAGE, Regions(1.0, 0.75, codes, frames), grid))


@dataclass
class Clock:
    """Tells the time it was set to, in seconds since 1970 UTC."""

    now_s: float = 1_800_000_000.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    """Return a clock that stands still until it is moved."""
    return Clock()


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Return the URL of a store that does not exist yet."""
    return sqlite_url(tmp_path)


@pytest.fixture
def open_store(url: str, clock: Clock) -> Iterator[Callable[[], Store]]:
    """Return a way to open the store of this test, as often as it is wanted."""
    opened: list[Store] = []

    def open_one() -> Store:
        store = Store(url, clock)
        opened.append(store)
        store.open()
        return store

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: Callable[[], Store]) -> Store:
    """Return an open, empty store."""
    return open_store()


@pytest.fixture
def make_entries() -> MakeEntries:
    """Return a maker of different entries, the same for the same seed, each third with codes."""

    def make(count: int, seed: int = 0) -> list[NewEntry]:
        rng = np.random.default_rng(seed)
        return [
            NewEntry(
                Fingerprint(
                    PdqHash(rng.bytes(32), 50 + row % 51),
                    make_part(rng, 1 + row % 5) if row % 3 == 0 else None,
                ),
                EntrySource.HASH,
                f"case {seed}/{row}",
            )
            for row in range(count)
        ]

    return make
