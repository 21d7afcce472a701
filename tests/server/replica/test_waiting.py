"""Who demands a revision of the replica waits for it, and no longer than it may."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from imageward_server.errors import RevisionNotReached, StoreUnavailable
from imageward_server.replica import Replica
from imageward_server.store import Store
from imageward_server.store.records import FeedPage

# Longer than any test, for replicas that are told when to look.
NEVER_S = 3600.0
POLL_S = 0.01
PATIENCE_S = 60.0
WAITERS = 5


def test_one_read_serves_all_who_demand_a_revision(
    url: str,
    fill: Callable[[], object],
    start_replica: Callable[[Store, float], Replica],
) -> None:
    """Many who demand what does not exist yet cost the store one read, not one each."""
    counting = CountingStore(url)
    replica = start_replica(counting, NEVER_S)
    replica._applying = turn = WatchedLock()  # type: ignore[assignment]
    counting.reads = 0
    with ThreadPoolExecutor(WAITERS) as threads:
        with turn:
            for _ in range(WAITERS):
                threads.submit(replica.wait_for, 1, PATIENCE_S)
            turn.see(turn.came, WAITERS)
        turn.see(turn.left, WAITERS + 1)
        reads = counting.reads
        fill()
        replica.look()
    counting.close()
    assert reads == 1


def test_a_store_that_fails_is_waited_for(
    url: str,
    store: Store,
    fill: Callable[[], object],
    start_replica: Callable[[Store, float], Replica],
) -> None:
    """Who demands a revision while the store cannot be read has it when the store answers again."""
    unreadable = UnreadableStore(url)
    replica = start_replica(unreadable, POLL_S)
    fill()
    unreadable.reads_to_fail = 3
    replica.wait_for(store.revision(), PATIENCE_S)
    assert unreadable.reads_to_fail == 0
    unreadable.close()


def test_waiting_for_a_revision_that_is_there_returns(
    store: Store,
    fill: Callable[[], object],
    start_replica: Callable[[Store, float], Replica],
) -> None:
    """A revision that was reached needs no time, not even some."""
    fill()
    replica = start_replica(store, NEVER_S)
    replica.wait_for(store.revision(), 0.0)
    replica.wait_for(0, -1.0)


@pytest.mark.parametrize("timeout_s", [-1.0, 0.0, 0.01])
def test_a_revision_that_does_not_come_is_said(
    store: Store, start_replica: Callable[[Store, float], Replica], timeout_s: float
) -> None:
    """When the time is over, the caller learns which revision is the last."""
    replica = start_replica(store, NEVER_S)
    with pytest.raises(RevisionNotReached) as refusal:
        replica.wait_for(4, timeout_s)
    assert refusal.value.metadata == {"revision": "0", "minimum_revision": "4"}


class CountingStore(Store):
    """Counts the reads of its feed."""

    reads = 0

    def changes_after(self, revision: int) -> FeedPage | None:
        """Read a page, and count it."""
        self.reads += 1
        return super().changes_after(revision)


class UnreadableStore(Store):
    """Cannot be read as often as it is told."""

    reads_to_fail = 0

    def changes_after(self, revision: int) -> FeedPage | None:
        """Read a page, or fail."""
        if self.reads_to_fail:
            self.reads_to_fail -= 1
            raise StoreUnavailable("the store does not answer; try again")
        return super().changes_after(revision)


class WatchedLock:
    """A lock that tells how many came to it, and how many left it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.came, self.left = threading.Semaphore(0), threading.Semaphore(0)

    def acquire(self, *, timeout: float) -> bool:
        """Take it, or say that the time is over."""
        self.came.release()
        return self._lock.acquire(timeout=timeout)

    def release(self) -> None:
        """Leave it."""
        self._lock.release()
        self.left.release()

    def see(self, told: threading.Semaphore, count: int) -> None:
        """Return when so many came, or left."""
        for _ in range(count):
            assert told.acquire(timeout=PATIENCE_S)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()
