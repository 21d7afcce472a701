"""What the audit's tests share: keys, and a store that writes with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from imageward_server.audit.keys import AuditKeys
from imageward_server.audit.row import Checkpoint
from imageward_server.audit.store_evidence import collect
from imageward_server.audit.verify import Fault, find_fault
from imageward_server.store import Store

if TYPE_CHECKING:
    from conftest import Clock

SECRET = bytes(range(32))
OpenKeyed = Callable[..., Store]


@pytest.fixture
def keys() -> AuditKeys:
    """Return the audit's keys."""
    return AuditKeys(SECRET)


@pytest.fixture
def told() -> list[Checkpoint]:
    """Return the checkpoints that were told, as a log would keep them."""
    return []


@pytest.fixture
def open_keyed(
    url: str, clock: Clock, keys: AuditKeys, told: list[Checkpoint]
) -> Iterator[OpenKeyed]:
    """Return a way to open the store of this test with keys."""
    opened: list[Store] = []

    def open_one(with_keys: AuditKeys = keys) -> Store:
        store = Store(url, clock, with_keys, told.append)
        opened.append(store)
        store.open()
        return store

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def keyed(open_keyed: OpenKeyed) -> Store:
    """Return an open, empty store whose audit has a key."""
    return open_keyed()


@pytest.fixture
def fault_of(keys: AuditKeys) -> Callable[..., Fault | None]:
    """Return a judge of a store's audit."""

    def judge(
        store: Store, kept: list[Checkpoint] | None = None, by: AuditKeys = keys
    ) -> Fault | None:
        with collect(store, kept or []) as evidence:
            return find_fault(evidence, by.public, by)

    return judge
