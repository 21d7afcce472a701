"""The feed: gap-free, and worth the same as a snapshot."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest
import sqlalchemy as sa

from imageward_index.policy import Action, Bank, Policy
from imageward_server.store import EntryState, FeedPage, Store, feed
from imageward_server.store.engine import reading
from imageward_server.store.feed import CHANGES_PER_PAGE
from imageward_server.store.schema import change

if TYPE_CHECKING:
    from conftest import MakeEntries

WRITERS = 6
PATIENCE_S = 60.0


class Follower:
    """Holds what a reader of the feed knows."""

    def __init__(self) -> None:
        self.revision = 0
        self.banks: dict[str, Bank] = {}
        self.active: dict[int, bytes] = {}

    def apply(self, page: FeedPage) -> None:
        """Take a page in, as the replica does."""
        assert page.revision > self.revision
        states = page.entries
        self.active.update(_pairs(states.active_ids, states.active_codes))
        for entry_id in states.withdrawn_ids.tolist():
            self.active.pop(entry_id, None)
        if page.banks is not None:
            self.banks = {bank.name: bank for bank in page.banks}
        self.revision = page.revision

    def follow(self, store: Store) -> int:
        """Take in all pages there are; return how many."""
        pages = 0
        while page := store.changes_after(self.revision):
            self.apply(page)
            pages += 1
        return pages

    def insist_on(self, store: Store) -> None:
        """Insist that the pages led to what a snapshot says."""
        with store.snapshot() as snapshot:
            blocks = list(snapshot.hash_blocks)
            assert snapshot.revision == self.revision
            assert {bank.name: bank for bank in snapshot.banks} == self.banks
            expected = dict(pair for ids, codes, _ in blocks for pair in _pairs(ids, codes))
            assert expected == self.active
            assert len(expected) == snapshot.active_count


def _pairs(ids: np.ndarray, codes: np.ndarray) -> list[tuple[int, bytes]]:
    return list(zip(ids.tolist(), map(bytes, codes), strict=True))


def revisions(store: Store) -> list[int]:
    """Read the revision of every change."""
    with reading(store._engine) as connection:
        query = sa.select(change.c.revision).order_by(change.c.revision)
        return list(connection.execute(query).scalars())


def test_an_empty_store_has_no_page(store: Store) -> None:
    """Revision 0 is the beginning, and nothing follows it."""
    assert store.revision() == 0
    assert store.changes_after(0) is None
    Follower().insist_on(store)


def test_each_change_is_one_revision(store: Store, make_entries: MakeEntries) -> None:
    """A bank, a batch and each run of ids that changes state are one; no change is none."""
    store.create_bank("known", Policy())
    ids = store.add_entries("known", "request 1", make_entries(6)).entry_ids
    store.set_state([ids[0], ids[1], ids[3], ids[5]], EntryState.WITHDRAWN)
    store.set_state([ids[0]], EntryState.WITHDRAWN)
    store.add_entries("known", "request 2", [])
    assert revisions(store) == [1, 2, 3, 4, 5]
    assert store.revision() == 5
    assert [store.get_entry(ids[i]).revision for i in (0, 1, 2, 3, 5)] == [3, 3, 2, 4, 5]


def test_a_page_carries_banks_only_when_one_changed(
    store: Store, make_entries: MakeEntries
) -> None:
    """All banks come when one changed; a page of entries alone leaves them alone."""
    policy = Policy(Action.LOG, 5)
    store.create_bank("known", Policy())
    store.create_bank("other", policy)
    page = store.changes_after(1)
    assert page is not None
    assert page.banks == (Bank(1, "known", Policy()), Bank(2, "other", policy))
    store.add_entries("known", "request 1", make_entries(2))
    page = store.changes_after(2)
    assert page is not None
    assert page.banks is None
    assert (page.revision, len(page.entries.active_ids)) == (3, 2)
    assert store.changes_after(3) is None


def test_pages_are_bounded_and_meet_without_a_gap(store: Store, make_entries: MakeEntries) -> None:
    """More changes than a page holds come on several, which lead to the snapshot's state."""
    store.create_bank("known", Policy())
    ids = store.add_entries("known", "request 1", make_entries(300)).entry_ids
    store.set_state(ids[::2], EntryState.WITHDRAWN)
    store.set_state(ids[::4], EntryState.ACTIVE)
    first = store.changes_after(0)
    assert first is not None
    assert first.revision == CHANGES_PER_PAGE
    follower = Follower()
    assert follower.follow(store) == -(-store.revision() // CHANGES_PER_PAGE)
    follower.insist_on(store)
    assert len(follower.active) == 225


def test_a_page_is_bounded_by_its_entries(
    store: Store, make_entries: MakeEntries, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The change that fills a page is its last; one that is larger than a page has its own."""
    monkeypatch.setattr(feed, "ENTRIES_PER_PAGE", 5)
    store.create_bank("known", Policy())
    for number, count in enumerate((3, 3, 1, 9, 2)):
        store.add_entries("known", f"request {number}", make_entries(count, seed=number))
    follower, ends = Follower(), []
    while page := store.changes_after(follower.revision):
        follower.apply(page)
        ends.append(page.revision)
    assert ends == [3, 5, 6]
    follower.insist_on(store)


@pytest.mark.parametrize("revision", [0, 1, 5, 64, 70])
def test_a_page_may_be_applied_late_or_twice(
    store: Store, make_entries: MakeEntries, revision: int
) -> None:
    """A page tells the state of now, so a follower that starts over arrives where others are."""
    store.create_bank("known", Policy())
    ids = store.add_entries("known", "request 1", make_entries(100)).entry_ids
    follower = Follower()
    follower.follow(store)
    store.set_state(ids[::2], EntryState.WITHDRAWN)
    store.set_state(ids[::4], EntryState.ACTIVE)
    follower.follow(store)
    follower.revision = revision
    follower.follow(store)
    follower.insist_on(store)


def test_a_snapshot_comes_in_blocks(
    store: Store, make_entries: MakeEntries, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No block is over its bound, each active entry is in one, and later changes in none."""
    monkeypatch.setattr(feed, "ROWS_PER_BLOCK", 40)
    store.create_bank("known", Policy())
    ids = store.add_entries("known", "request 1", make_entries(100)).entry_ids
    store.set_state(ids[:1], EntryState.WITHDRAWN)
    with store.snapshot() as snapshot:
        first = next(snapshot.hash_blocks).ids
        store.add_entries("known", "request 2", make_entries(1, seed=2))
        store.set_state(ids[50:60], EntryState.WITHDRAWN)
        rest = [block.ids for block in snapshot.hash_blocks]
        assert snapshot.active_count == 99
    assert [len(first), *map(len, rest)] == [40, 40, 19]
    assert np.concatenate([first, *rest]).tolist() == list(ids[1:])


def test_six_writers_leave_no_gap_to_a_follower(
    open_store: Callable[[], Store], store: Store, make_entries: MakeEntries
) -> None:
    """Read while six threads over two stores write, the feed skips nothing that is acknowledged."""
    stores = [store, open_store()]
    for number in range(WRITERS):
        store.create_bank(f"bank-{number}", Policy())
    start, done, follower = threading.Barrier(WRITERS + 1), threading.Event(), Follower()

    def write(number: int) -> set[int]:
        mine, active = stores[number % 2], set[int]()
        start.wait(PATIENCE_S)
        for batch in range(12):
            new = make_entries(1 + batch, seed=100 * number + batch)
            ids = mine.add_entries(f"bank-{number}", f"{number}/{batch}", new).entry_ids
            mine.set_state(ids[::3], EntryState.WITHDRAWN)
            mine.set_state(ids[:1], EntryState.ACTIVE)
            active |= {*ids} - {*ids[3::3]}
        return active

    def follow() -> None:
        start.wait(PATIENCE_S)
        while not done.is_set():
            follower.follow(stores[1])

    with ThreadPoolExecutor(WRITERS + 1) as pool:
        following = pool.submit(follow)
        writers = [pool.submit(write, number) for number in range(WRITERS)]
        try:
            expected = set[int]().union(*(writer.result(PATIENCE_S) for writer in writers))
        finally:
            done.set()
        following.result(PATIENCE_S)
    follower.follow(store)
    assert set(follower.active) == expected
    follower.insist_on(store)
    assert revisions(store) == list(range(1, store.revision() + 1))
