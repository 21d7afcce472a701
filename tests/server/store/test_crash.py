"""Crashes: what was acknowledged is there, what was not is there whole or not at all."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from imageward_server.store import EntryState, Store
from imageward_server.store.engine import FILE_NAME, reading, sqlite_url
from imageward_server.store.schema import change, entry

# Adds batches and withdraws every third entry, and says what it did once it is told.
WRITER = """
import os, random, signal, sys
from imageward_index.fingerprint import Fingerprint
from imageward_index.pdq import PdqHash
from imageward_index.policy import Policy
from imageward_server.store import EntrySource, EntryState, NewEntry, Store

rng = random.Random(int(sys.argv[2]))
store = Store(sys.argv[1])
store.open()
store.create_bank("known", Policy())
for request in range(100_000):
    codes = [rng.randbytes(32) for _ in range(1 + request % 9)]
    new = [NewEntry(Fingerprint(PdqHash(code, 80)), EntrySource.HASH) for code in codes]
    ids = store.add_entries("known", f"request {request}", new).entry_ids
    print("active", *ids, flush=True)
    store.set_state(ids[::3], EntryState.WITHDRAWN)
    print("withdrawn", *ids[::3], flush=True)
"""

# Dies inside a transaction, after the statements before the planted one.
TORN = """
import os, signal, sys
from imageward_index.fingerprint import Fingerprint
from imageward_index.pdq import PdqHash
from imageward_index.policy import Policy
from imageward_server.store import EntrySource, EntryState, NewEntry, Store, banks, entries
from imageward_server.store.head import Head

store = Store(sys.argv[1])
store.open()
store.create_bank("known", Policy())
new = [NewEntry(Fingerprint(PdqHash(bytes([n] * 32), 80)), EntrySource.HASH) for n in range(5)]
ids = store.add_entries("known", "request 1", new).entry_ids
print(*ids, flush=True)
owner, name = {
    "serials": (Head, "next_serials"), "feed": (Head, "_record"),
    "insert": (entries, "_insert"), "count": (banks, "count_entries"),
}[sys.argv[2]]
before = getattr(owner, name)

def die(*args, **kwargs):
    before(*args, **kwargs)
    os.kill(os.getpid(), signal.SIGKILL)

setattr(owner, name, die)
if sys.argv[3] == "add":
    store.add_entries("known", "request 2", new)
else:
    store.set_state(ids[::2], EntryState.WITHDRAWN)
print("survived", flush=True)
"""


def start(script: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a script in a process of its own."""
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def reopened(url: str) -> Store:
    """Open the store again, as the next process would."""
    store = Store(url)
    store.open()
    return store


def states(store: Store) -> dict[int, EntryState]:
    """Read the state of every entry."""
    with reading(store._engine) as connection:
        rows = connection.execute(sa.select(entry.c.id, entry.c.state))
        return {row.id: EntryState(row.state) for row in rows}


def insist_on_one_piece(store: Store) -> None:
    """Insist that feed, counts, entries and file agree with each other."""
    found = states(store)
    with reading(store._engine) as connection:
        revisions = connection.execute(sa.select(change.c.revision)).scalars().all()
        assert list(range(1, store.revision() + 1)) == sorted(revisions)
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalars().all() == ["ok"]
        last = connection.execute(sa.select(sa.func.max(entry.c.revision))).scalar_one()
        assert last is None or last <= store.revision()
    for record in store.all_banks():
        assert len(found) == record.active_count + record.withdrawn_count
        active = sum(state == EntryState.ACTIVE for state in found.values())
        assert record.active_count == active
    assert from_feed(store) == {i for i, state in found.items() if state == EntryState.ACTIVE}


def from_feed(store: Store) -> set[int]:
    """Read the active entries by following the feed from its beginning."""
    active, revision = set[int](), 0
    while page := store.changes_after(revision):
        active |= set(page.entries.active_ids.tolist())
        active -= set(page.entries.withdrawn_ids.tolist())
        revision = page.revision
    return active


def acknowledged(lines: Iterator[str]) -> tuple[dict[int, EntryState], set[int]]:
    """Read what a killed writer had said: states, and the ids it may have gone on to withdraw."""
    said: dict[int, EntryState] = {}
    unsure: set[int] = set()
    for line in lines:
        word, *ids = line.split()
        said |= dict.fromkeys(map(int, ids), EntryState[word.upper()])
        unsure = set(map(int, ids)) if word == "active" else set()
    return said, unsure


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_acknowledged_changes_survive_a_kill(url: str, seed: int) -> None:
    """A writer killed at any moment leaves every change it was told of, and a whole feed."""
    lines_wanted = random.Random(seed).randrange(20, 120)
    with start(WRITER, url, str(seed)) as writer:
        assert writer.stdout is not None
        lines = [writer.stdout.readline() for _ in range(lines_wanted)]
        writer.send_signal(signal.SIGKILL)
        lines += [line for line in writer.stdout if line.endswith("\n")]
    assert writer.returncode == -signal.SIGKILL
    store = reopened(url)
    insist_on_one_piece(store)
    said, unsure = acknowledged(iter(lines))
    found = states(store)
    assert said.keys() <= found.keys()
    assert {i for i, state in said.items() if found[i] != state} <= unsure
    # At most the one batch that nobody was told of.
    assert len(found.keys() - said.keys()) <= 9
    store.close()


@pytest.mark.parametrize(
    ("place", "change_kind"),
    [(place, "add") for place in ("serials", "feed", "insert", "count")]
    + [(place, "withdraw") for place in ("feed", "count")],
)
def test_a_torn_transaction_leaves_nothing(url: str, place: str, change_kind: str) -> None:
    """A process killed between two statements of a change leaves the state before it."""
    with start(TORN, url, place, change_kind) as process:
        assert process.stdout is not None
        first, *rest = process.stdout.read().splitlines()
    assert (process.returncode, rest) == (-signal.SIGKILL, [])
    store = reopened(url)
    insist_on_one_piece(store)
    assert store.revision() == 2
    assert states(store) == dict.fromkeys(map(int, first.split()), EntryState.ACTIVE)
    store.close()


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a store whose writer was killed."""
    folder = tmp_path_factory.mktemp("crashed")
    with start(WRITER, sqlite_url(folder), "7") as writer:
        assert writer.stdout is not None
        for _ in range(60):
            writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
    return folder


@pytest.mark.parametrize("keep", [0.0, 0.2, 0.5, 0.8, 0.97])
def test_a_torn_log_leaves_a_whole_past(crashed: Path, tmp_path: Path, keep: float) -> None:
    """Where the write-ahead log is cut, the store is what it was after some whole change."""
    shutil.copy(crashed / FILE_NAME, tmp_path)
    log = (crashed / f"{FILE_NAME}-wal").read_bytes()
    (tmp_path / f"{FILE_NAME}-wal").write_bytes(log[: int(len(log) * keep)])
    store = reopened(sqlite_url(tmp_path))
    insist_on_one_piece(store)
    store.close()


def test_the_cuts_cut_something(crashed: Path, tmp_path: Path) -> None:
    """The killed writer's changes are in the log: without it the store knows fewer entries."""
    entries_left = []
    for files in ([FILE_NAME], [FILE_NAME, f"{FILE_NAME}-wal"]):
        folder = tmp_path / str(len(files))
        folder.mkdir()
        for name in files:
            shutil.copy(crashed / name, folder)
        store = reopened(sqlite_url(folder))
        entries_left.append(len(states(store)))
        store.close()
    assert entries_left[0] < entries_left[1]
