"""What the server's tests share: real SQLite stores, a clock that moves, new entries."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from imageward_index.pdq import PdqHash
from imageward_server.store import EntrySource, NewEntry, Store
from imageward_server.store.engine import sqlite_url

MakeEntries = Callable[..., list[NewEntry]]


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
    """Return a maker of different entries, the same for the same seed."""

    def make(count: int, seed: int = 0) -> list[NewEntry]:
        codes = np.random.default_rng(seed).integers(0, 256, (count, 32), dtype=np.uint8)
        return [
            NewEntry(PdqHash(code.tobytes(), 50 + row % 51), EntrySource.HASH, f"case {seed}/{row}")
            for row, code in enumerate(codes)
        ]

    return make
