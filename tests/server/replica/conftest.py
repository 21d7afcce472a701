"""What the replica's tests share: replicas that end with their test, and a store to follow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from imageward_index.policy import Policy
from imageward_server.replica import Replica
from imageward_server.store import EntryState, Store

if TYPE_CHECKING:
    from conftest import MakeEntries


@pytest.fixture
def start_replica(tmp_path: Path) -> Iterator[Callable[[Store, float], Replica]]:
    """Return a way to load a replica of a store."""
    started: list[Replica] = []

    def start(store: Store, poll_s: float) -> Replica:
        replica = Replica(store, tmp_path / f"segments-{len(started)}", poll_s)
        started.append(replica)
        replica.load(lambda *_progress: None)
        replica.follow()
        return replica

    yield start
    for replica in started:
        replica.stop()


@pytest.fixture
def fill(store: Store, make_entries: MakeEntries) -> Callable[[], tuple[int, ...]]:
    """Return a way to make a bank of ten entries, three of them withdrawn."""

    def fill_store() -> tuple[int, ...]:
        store.create_bank("known", Policy())
        ids = store.add_entries("known", "request 1", make_entries(10)).entry_ids
        store.set_state(ids[:3], EntryState.WITHDRAWN)
        return ids

    return fill_store
