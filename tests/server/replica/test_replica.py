"""The replica: what the store says, in memory, as it changes."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, multiple, rule

from imageward_index.fingerprint import Fingerprint
from imageward_index.pdq import PdqHash
from imageward_index.picture import take_fingerprint
from imageward_index.policy import Action, Policy
from imageward_server.errors import StoreUnavailable
from imageward_server.replica import Replica
from imageward_server.store import EntryRecord, EntrySource, EntryState, NewEntry, Store, feed
from imageward_server.store.engine import sqlite_url, writing

if TYPE_CHECKING:
    from conftest import MakeEntries

# Longer than any test, for replicas that are told when to look.
NEVER_S = 3600.0
NOISE = np.random.default_rng(1).integers(0, 256, (64, 64), dtype=np.uint8)
PARTS = take_fingerprint(NOISE).regional
POLL_S = 0.01
PATIENCE_S = 60.0


def insist_on_equality(replica: Replica, store: Store) -> None:
    """Insist that the replica holds exactly the store's active entries and banks."""
    records = store.list_entries(
        bank_number=None, state=EntryState.ACTIVE, after_id=0, limit=100_000
    )
    assert replica.revision == store.revision()
    assert len(replica.hashes) == len(records)
    codes = np.frombuffer(b"".join(record.hash.code for record in records), dtype=np.uint8)
    found = replica.hashes.search(codes.reshape(-1, 32), 0)
    pairs = zip(found.queries.tolist(), found.ids.tolist(), strict=True)
    assert {(row, record.id) for row, record in enumerate(records)} <= set(pairs)
    described = {record.id: record.code_count for record in records if record.code_count}
    assert len(replica.codes) == sum(described.values())
    for entry_id, count in described.items():
        fingerprint = store.get_fingerprint(entry_id)
        assert replica.codes.attachment(entry_id) == fingerprint.to_bytes()
        found = replica.codes.search(fingerprint.codes.view(np.uint8).reshape(-1, 8), 0)
        own = found.ids == entry_id
        assert found.ordinals[own].tolist() == found.queries[own].tolist() == list(range(count))
    assert {bank.name: bank for bank in replica.banks} == {
        record.bank.name: record.bank for record in store.all_banks()
    }


def test_a_replica_begins_with_the_whole_store(
    store: Store,
    fill: Callable[[], object],
    start_replica: Callable[[Store, float], Replica],
) -> None:
    """After loading, index, banks and revision are the store's."""
    fill()
    insist_on_equality(start_replica(store, NEVER_S), store)


def test_loading_tells_how_far_it_is(
    store: Store,
    fill: Callable[[], object],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Progress begins at 0, ends at the number of active entries, and never falls."""
    monkeypatch.setattr(feed, "ROWS_PER_BLOCK", 3)
    fill()
    replica, reports = Replica(store, tmp_path / "segments", NEVER_S), list[tuple[str, int, int]]()
    replica.load(lambda *progress: reports.append(progress))
    replica.stop()
    compiling, reading = "compiling the search", "reading hashes"
    assert reports[:2] == [(compiling, 0, 1), (compiling, 1, 1)]
    assert reports[2:6] == [(reading, 0, 7), (reading, 3, 7), (reading, 6, 7), (reading, 7, 7)]
    parts = "reading regional codes"
    assert reports[6:8] == [(parts, 0, 3), (parts, 3, 3)]


def test_catching_up_applies_every_change(
    store: Store,
    fill: Callable[[], tuple[int, ...]],
    start_replica: Callable[[Store, float], Replica],
) -> None:
    """Additions, withdrawals, restorations and policies are seen once it caught up."""
    replica = start_replica(store, NEVER_S)
    ids = fill()
    store.set_state(ids[:1], EntryState.ACTIVE)
    store.update_bank("known", lambda _: Policy(Action.LOG, 3))
    assert (len(replica.hashes), len(replica.banks), replica.revision) == (0, 0, 0)
    replica.catch_up()
    insist_on_equality(replica, store)


def test_threads_that_catch_up_together_agree(
    store: Store,
    make_entries: MakeEntries,
    start_replica: Callable[[Store, float], Replica],
) -> None:
    """Eight writers that each catch up after their change leave replica and store equal."""
    store.create_bank("known", Policy())
    replica, start = start_replica(store, POLL_S), threading.Barrier(8)

    def write(number: int) -> None:
        start.wait(PATIENCE_S)
        for batch in range(5):
            new = make_entries(3, seed=10 * number + batch)
            addition = store.add_entries("known", f"{number}/{batch}", new)
            replica.catch_up()
            assert replica.revision >= addition.revision
            assert replica.hashes.contains(addition.entry_ids).all()
            store.set_state(addition.entry_ids[:1], EntryState.WITHDRAWN)
            replica.catch_up()
            assert replica.hashes.contains(addition.entry_ids).tolist() == [False, True, True]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    insist_on_equality(replica, store)


def test_a_revision_is_told_after_its_changes_are_in(
    store: Store,
    fill: Callable[[], tuple[int, ...]],
    start_replica: Callable[[Store, float], Replica],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While the index and the banks change, the revision is still the one before."""
    replica, seen = start_replica(store, NEVER_S), list[tuple[str, int]]()

    def note(name: str) -> None:
        change = getattr(replica.hashes, name)

        def noting(*arguments: object) -> object:
            seen.append((name, replica.revision))
            return change(*arguments)

        monkeypatch.setattr(replica.hashes, name, noting)

    note("add")
    note("withdraw")
    ids = fill()
    replica.catch_up()
    store.set_state(ids, EntryState.WITHDRAWN)
    replica.catch_up()
    assert seen == [("add", 0), ("withdraw", 0), ("add", 3), ("withdraw", 3)]
    assert replica.revision == 4


def test_changes_of_another_process_appear(
    store: Store,
    url: str,
    fill: Callable[[], tuple[int, ...]],
    start_replica: Callable[[Store, float], Replica],
) -> None:
    """A replica that follows sees what a second process banks and withdraws."""
    ids = fill()
    replica = start_replica(store, POLL_S)
    script = (
        "import sys\n"
        "from imageward_index.fingerprint import Fingerprint\n"
        "from imageward_index.pdq import PdqHash\n"
        "from imageward_server.store import EntryRecord, EntrySource, EntryState, NewEntry, Store\n"
        "store = Store(sys.argv[1])\n"
        "store.open()\n"
        "new = [NewEntry(Fingerprint(PdqHash(bytes([7] * 32), 80)), EntrySource.HASH)]\n"
        "print(store.add_entries('known', 'elsewhere', new).entry_ids[0])\n"
        "print(store.set_state([int(sys.argv[2])], EntryState.WITHDRAWN)[0])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, url, str(ids[9])], capture_output=True, text=True, check=True
    )
    added_id, revision = map(int, done.stdout.split())
    replica.wait_for(revision, PATIENCE_S)
    assert replica.hashes.contains([added_id, ids[9]]).tolist() == [True, False]
    insist_on_equality(replica, store)


def test_a_replica_that_is_told_looks_at_once(
    store: Store,
    fill: Callable[[], object],
    start_replica: Callable[[Store, float], Replica],
) -> None:
    """It does not wait for its next poll, however often it is told."""
    replica = start_replica(store, NEVER_S)
    fill()
    for state in (EntryState.ACTIVE, EntryState.WITHDRAWN):
        replica.look()
        replica.wait_for(store.revision(), PATIENCE_S)
        store.set_state([record.id for record in _entries(store)], state)
    replica.look()
    replica.wait_for(store.revision(), PATIENCE_S)
    insist_on_equality(replica, store)


def test_who_waits_for_a_revision_reads_it(
    store: Store,
    fill: Callable[[], object],
    start_replica: Callable[[Store, float], Replica],
) -> None:
    """A change that nobody told of is there at once for whoever demands it."""
    replica = start_replica(store, NEVER_S)
    fill()
    replica.wait_for(store.revision(), 0.0)
    insist_on_equality(replica, store)


def test_the_others_are_told_of_own_changes_alone(
    store: Store, fill: Callable[[], object], tmp_path: Path
) -> None:
    """Catching up after an own change tells them; following another's does not."""
    told: list[int] = []
    replica = Replica(store, tmp_path, NEVER_S, lambda: told.append(store.revision()))
    replica.load(lambda *_progress: None)
    replica.follow()
    fill()
    replica.look()
    replica.wait_for(store.revision(), PATIENCE_S)
    assert told == []
    store.create_bank("another", Policy())
    replica.catch_up()
    assert told == [store.revision()]
    replica.stop()


def _entries(store: Store) -> list[EntryRecord]:
    return store.list_entries(bank_number=None, state=None, after_id=0, limit=100)


def test_a_store_that_fails_for_a_while_is_followed_again(
    store: Store,
    url: str,
    fill: Callable[[], tuple[int, ...]],
    start_replica: Callable[[Store, float], Replica],
) -> None:
    """While the feed cannot be read, checks go on from memory; later the changes arrive."""
    ids = fill()
    flaky = FlakyStore(url)
    replica = start_replica(flaky, POLL_S)
    with writing(store._engine) as connection:
        connection.exec_driver_sql("ALTER TABLE head RENAME TO head_away")
    flaky.broken.set()
    assert flaky.failed_twice.wait(PATIENCE_S)
    assert len(replica.hashes) == 7
    with writing(store._engine) as connection:
        connection.exec_driver_sql("ALTER TABLE head_away RENAME TO head")
    revision, _ = store.set_state(ids, EntryState.ACTIVE)
    replica.wait_for(revision, PATIENCE_S)
    insist_on_equality(replica, store)
    flaky.close()


class FlakyStore(Store):
    """Counts its failures, and makes the first of them one that nobody foresaw."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.broken, self.failed_twice = threading.Event(), threading.Event()
        self._failures = 0

    def position(self) -> tuple[str, int]:
        """Read name and revision, or fail."""
        if not self.broken.is_set():
            return super().position()
        self._failures += 1
        if self._failures == 1:
            raise ZeroDivisionError
        with pytest.raises(StoreUnavailable) as failure:
            super().position()
        self.broken.clear()
        self.failed_twice.set()
        raise failure.value


@pytest.mark.parametrize(
    "change", ["UPDATE head SET store_id = 'another'", "UPDATE head SET revision = revision - 1"]
)
def test_a_store_that_was_replaced_is_not_followed(
    change: str, store: Store, fill: Callable[[], object], tmp_path: Path
) -> None:
    """Another name, or an earlier revision: it was restored, and what is loaded is not of it."""
    fill()
    replaced = threading.Event()
    replica = Replica(store, tmp_path, POLL_S, on_replaced=replaced.set)
    replica.load(lambda *_progress: None)
    replica.follow()
    with writing(store._engine) as connection:
        connection.exec_driver_sql(change)
    assert replaced.wait(PATIENCE_S)
    replica.stop()


def test_a_stopped_replica_does_not_follow(
    store: Store,
    fill: Callable[[], object],
    start_replica: Callable[[Store, float], Replica],
    tmp_path: Path,
) -> None:
    """Stopping ends the thread, twice as well as once, and before loading too."""
    replica = start_replica(store, POLL_S)
    replica.stop()
    replica.stop()
    fill()
    assert (replica.revision, replica._follower.is_alive()) == (0, False)
    Replica(store, tmp_path / "unloaded", POLL_S).stop()


class ReplicaMachine(RuleBasedStateMachine):
    """A store under any sequence of changes, and two replicas that follow it."""

    banks = Bundle("banks")
    ids = Bundle("ids")

    @initialize(target=ids)
    def begin(self) -> object:
        """Make a store of a few entries in a folder of its own; few changes fill a page."""
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(feed, "CHANGES_PER_PAGE", 3)
        self.folder = tempfile.TemporaryDirectory()
        self.store = Store(sqlite_url(Path(self.folder.name)))
        self.store.open()
        self.often, self.seldom = self.replica("often"), self.replica("seldom")
        for replica in (self.often, self.seldom):
            replica.load(lambda *_progress: None)
        self.requests = 0
        self.store.create_bank("first", Policy())
        return self.add("first", [0, 0, 1, 2])

    def replica(self, name: str) -> Replica:
        """Make a replica with a folder of its own."""
        return Replica(self.store, Path(self.folder.name) / name, NEVER_S)

    def teardown(self) -> None:
        """Insist on equality at the end, and on a new replica's."""
        if not hasattr(self, "folder"):
            return
        with self.folder, closing(self.store):
            try:
                late = self.replica("late")
                late.load(lambda *_progress: None)
                late.stop()
                for replica in (self.often, self.seldom, late):
                    replica.catch_up()
                    insist_on_equality(replica, self.store)
            finally:
                self.often.stop()
                self.seldom.stop()
                self.patch.undo()

    @rule(target=banks, radius_bits=st.integers(0, 63))
    def create_bank(self, radius_bits: int) -> str:
        """Make a bank."""
        name = f"bank-{len(self.store.all_banks())}"
        self.store.create_bank(name, Policy(radius_bits=radius_bits))
        return name

    @rule(bank=banks, action=st.sampled_from(Action), enabled=st.booleans())
    def update_bank(self, bank: str, action: Action, *, enabled: bool) -> None:
        """Give a bank another policy."""
        self.store.update_bank(bank, lambda _: Policy(action, enabled=enabled))

    @rule(target=ids, bank=st.just("first") | banks, codes=st.lists(st.integers(0, 3), max_size=4))
    def bank_entries(self, bank: str, codes: list[int]) -> object:
        """Bank entries, many of them of the same few hashes."""
        return self.add(bank, codes)

    def add(self, bank: str, codes: list[int]) -> object:
        """Bank entries under the next request id."""
        self.requests += 1
        # Half of them are known as a whole only.
        new = [
            NewEntry(
                Fingerprint(PdqHash(bytes([code] * 32), None), PARTS if code % 2 else None),
                EntrySource.HASH,
            )
            for code in codes
        ]
        return multiple(*self.store.add_entries(bank, f"{self.requests}", new).entry_ids)

    @rule(ids=st.lists(ids, min_size=1, max_size=5))
    def withdraw(self, ids: list[int]) -> None:
        """Withdraw entries."""
        self.store.set_state(ids, EntryState.WITHDRAWN)

    @rule(ids=st.lists(ids, max_size=5))
    def restore(self, ids: list[int]) -> None:
        """Restore entries, or change nothing."""
        self.store.set_state(ids, EntryState.ACTIVE)

    @rule(target=ids, entry_id=consumes(ids))
    def flip_twice(self, entry_id: int) -> int:
        """Withdraw an entry and restore it before anybody looks."""
        self.store.set_state([entry_id], EntryState.WITHDRAWN)
        self.store.set_state([entry_id], EntryState.ACTIVE)
        return entry_id

    @rule()
    def catch_up(self) -> None:
        """Let one of the replicas look."""
        self.often.catch_up()
        insist_on_equality(self.often, self.store)


TestReplicaMachine = ReplicaMachine.TestCase
# Every step waits for the disk: a failure is shown as it was found, not made smaller for minutes.
TestReplicaMachine.settings = settings(
    max_examples=25,
    stateful_step_count=20,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
