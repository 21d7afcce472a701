"""An encrypted store: what lies on the disk, who may open it, what is erased, what comes back."""

from __future__ import annotations

import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from imageward_index.policy import Policy
from imageward_server.errors import EntryErased, KeysUnusable
from imageward_server.keys.vault import Vault
from imageward_server.store import EntryState, Store
from imageward_server.store.engine import FILE_NAME, sqlite_url

if TYPE_CHECKING:
    from conftest import Clock, MakeEntries

MASTER = b"m" * 32
ERASE_AFTER_S = 1_000.0
Open = Callable[..., Store]

# Encrypts a store until it is killed.
ENCRYPTER = """
import pathlib, sys
from imageward_server.keys.vault import Vault
from imageward_server.store import Store, encrypting

encrypting.ENTRIES_PER_BATCH = 50
store = Store(sys.argv[1], vault=Vault(pathlib.Path(sys.argv[2]), b"m" * 32))
store.encrypt(lambda done: print(done, flush=True))
print("whole", flush=True)
"""


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    """Return keys that no store has yet."""
    return Vault(tmp_path / "keys", MASTER)


@pytest.fixture
def open_with(tmp_path: Path, clock: Clock) -> Iterator[Open]:
    """Return a way to open the store of this test with keys, or without."""
    opened: list[Store] = []

    def open_one(vault: Vault | None, folder: Path = tmp_path) -> Store:
        store = Store(sqlite_url(folder), clock, vault=vault, erase_after_s=ERASE_AFTER_S)
        opened.append(store)
        store.open()
        return store

    yield open_one
    for store in opened:
        store.close()


def disk(folder: Path) -> bytes:
    """Read every byte of every file of a folder, but for SQLite's shared memory."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return b"".join(path.read_bytes() for path in files if not path.name.endswith("-shm"))


def fill(store: Store, make_entries: MakeEntries, count: int = 30) -> tuple[int, ...]:
    """Bank entries, every third with regional codes."""
    store.create_bank("known", Policy())
    return store.add_entries("known", "request", make_entries(count)).entry_ids


def erase(store: Store) -> int:
    """Erase what is due, as the server does; return how many entries."""
    due = store.due_erasures(10_000)
    store.erase(due)
    assert store.finish_erasures(due)
    return len(due)


def copy(folder: Path, to: Path) -> None:
    """Back a store up as operators do."""
    to.mkdir()
    source, target = sqlite3.connect(folder / FILE_NAME), sqlite3.connect(to / FILE_NAME)
    with source, target:
        source.backup(target)
    source.close()
    target.close()


def test_no_code_lies_in_clear(
    open_with: Open, vault: Vault, tmp_path: Path, make_entries: MakeEntries
) -> None:
    """Hashes and fingerprints go in and come out, and are in no file; in a clear store they are."""
    new = make_entries(30)
    store = open_with(vault)
    ids = fill(store, make_entries)
    assert [store.get_fingerprint(one) for one in ids] == [one.fingerprint for one in new]
    page = store.changes_after(0)
    assert page is not None
    assert page.entries.active_codes.tobytes() == b"".join(
        one.fingerprint.whole.code for one in new
    )
    assert page.entries.fingerprints == {
        one: entry.fingerprint.to_bytes()
        for one, entry in zip(ids, new, strict=True)
        if len(entry.fingerprint.codes)
    }
    kept = disk(tmp_path)
    parts = [one.fingerprint.whole.code for one in new]
    parts += [bytes(one.fingerprint.codes) for one in new if len(one.fingerprint.codes)]
    assert not [part for part in parts if part in kept]
    (tmp_path / "clear").mkdir()
    fill(open_with(None, tmp_path / "clear"), make_entries)
    clear = disk(tmp_path / "clear")
    assert all(part in clear for part in parts)


def test_equal_codes_do_not_look_equal(
    open_with: Open, vault: Vault, tmp_path: Path, make_entries: MakeEntries
) -> None:
    """The same picture banked twice lies there as two different strings."""
    store = open_with(vault)
    fill(store, make_entries, 1)
    store.add_entries("known", "again", make_entries(1))
    rows = sqlite3.connect(tmp_path / FILE_NAME)
    hashes = [row[0] for row in rows.execute("SELECT pdq FROM entry")]
    rows.close()
    assert (len(hashes), len(set(hashes)), {len(one) for one in hashes}) == (2, 2, {48})


def test_a_request_that_comes_again_is_known(
    open_with: Open, vault: Vault, make_entries: MakeEntries
) -> None:
    """Its digest is made with a key, and is the same after a new start."""
    fill(open_with(vault), make_entries)
    assert open_with(vault).add_entries("known", "request", make_entries(30)).replayed


@pytest.mark.parametrize("case", ["no key", "other key", "lost folder", "key on a clear store"])
def test_keys_that_do_not_fit_are_refused_and_nothing_is_written(
    open_with: Open, vault: Vault, tmp_path: Path, make_entries: MakeEntries, case: str
) -> None:
    """The message says what to do, and every file is as it was."""
    store = open_with(None if case == "key on a clear store" else vault)
    fill(store, make_entries)
    store.close()
    wrong = {
        "no key": (None, "no key is given"),
        "other key": (Vault(tmp_path / "keys", b"x" * 32), "does not open"),
        "lost folder": (Vault(tmp_path / "gone", MASTER), "is missing"),
        "key on a clear store": (vault, "encrypt-store"),
    }
    before = disk(tmp_path)
    with pytest.raises(KeysUnusable, match=wrong[case][1]):
        open_with(wrong[case][0])
    assert disk(tmp_path) == before


def test_the_keys_of_another_store_are_refused(
    open_with: Open, vault: Vault, tmp_path: Path, make_entries: MakeEntries
) -> None:
    """A new store does not take a folder that a store has."""
    fill(open_with(vault), make_entries)
    (tmp_path / "other").mkdir()
    with pytest.raises(KeysUnusable, match="of another store"):
        open_with(vault, tmp_path / "other")


@pytest.mark.parametrize("encrypted", [True, False])
def test_withdrawn_entries_are_erased_when_they_can_be_restored_no_longer(
    open_with: Open,
    vault: Vault,
    clock: Clock,
    tmp_path: Path,
    make_entries: MakeEntries,
    encrypted: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """Until then they come back as they were; then nothing is left of them, of others all."""
    store = open_with(vault if encrypted else None)
    ids, new = fill(store, make_entries), make_entries(30)
    store.set_state(ids[:10], EntryState.WITHDRAWN)
    clock.now_s += ERASE_AFTER_S - 1
    assert erase(store) == 0
    assert store.set_state(ids[:2], EntryState.ACTIVE)[1] == 2
    assert store.get_fingerprint(ids[0]) == new[0].fingerprint
    clock.now_s += 1
    with pytest.raises(EntryErased, match="1 of 1"):
        store.set_state(ids[2:3], EntryState.ACTIVE)
    assert erase(store) == 8
    assert erase(store) == 0
    with pytest.raises(EntryErased, match="8 of 8"):
        store.set_state(ids[:10], EntryState.ACTIVE)
    with pytest.raises(EntryErased):
        store.get_fingerprint(ids[3])
    assert store.get_entry(ids[3]).hash is None
    kept = disk(tmp_path)
    erased = [one.fingerprint for one in new[2:10]]
    assert not [one for one in erased if one.whole.code in kept]
    assert not [one for one in erased if len(one.codes) and bytes(one.codes) in kept]
    alive = [store.get_fingerprint(one) for one in (*ids[:2], *ids[10:])]
    assert alive == [one.fingerprint for one in (*new[:2], *new[10:])]


def test_what_is_withdrawn_for_good_is_due_at_once(
    open_with: Open, vault: Vault, make_entries: MakeEntries
) -> None:
    """Also what was withdrawn before and could be restored until then."""
    from imageward_server.audit.row import SERVER
    from imageward_server.store import entries

    store = open_with(vault)
    ids = fill(store, make_entries)
    store.set_state(ids[:2], EntryState.WITHDRAWN)
    assert store.due_erasures(10) == []
    with store.changing() as head:
        assert entries.set_state(head, ids[:4], EntryState.WITHDRAWN, for_good=True) == 2
        head.audit(SERVER, "withdraw entries", entry_ids=ids[:4])
    assert sorted(store.due_erasures(10)) == list(ids[:4])
    with pytest.raises(EntryErased):
        store.set_state(ids[:1], EntryState.ACTIVE)


def test_a_backup_of_before_holds_nothing_of_the_erased(
    open_with: Open, vault: Vault, clock: Clock, tmp_path: Path, make_entries: MakeEntries
) -> None:
    """It comes back with them withdrawn and without codes, and with all others as they were."""
    store = open_with(vault)
    ids, new = fill(store, make_entries), make_entries(30)
    copy(tmp_path, tmp_path / "backup")
    store.set_state(ids[:10], EntryState.WITHDRAWN)
    clock.now_s += ERASE_AFTER_S
    assert erase(store) == 10
    restored = open_with(vault, tmp_path / "backup")
    records = restored.list_entries(bank_number=None, state=None, after_id=0, limit=100)
    assert [record.hash is None for record in records] == [True] * 10 + [False] * 20
    assert {record.state for record in records[:10]} == {EntryState.WITHDRAWN}
    assert {record.state for record in records[10:]} == {EntryState.ACTIVE}
    assert [restored.get_fingerprint(one) for one in ids[10:]] == [
        one.fingerprint for one in new[10:]
    ]
    (bank,) = restored.all_banks()
    assert (bank.active_count, bank.withdrawn_count) == (20, 10)
    page = restored.changes_after(0)
    assert page is not None
    assert page.entries.active_ids.tolist() == list(ids[10:])
    with pytest.raises(EntryErased):
        restored.set_state(ids[:1], EntryState.ACTIVE)
    # It looks for them once, and not at every start.
    assert open_with(vault, tmp_path / "backup").revision() == restored.revision()


def test_a_reader_of_an_older_state_takes_the_erased_for_withdrawn(
    open_with: Open, vault: Vault, make_entries: MakeEntries
) -> None:
    """A start that reads for long does not stumble over keys that go meanwhile."""
    store = open_with(vault)
    ids = fill(store, make_entries)
    with store.snapshot() as snapshot:
        other = open_with(vault)
        other.set_state(ids[:3], EntryState.WITHDRAWN)
        other.erase(ids[:3])
        read = [one for block in snapshot.hash_blocks for one in block.ids.tolist()]
        described = [one for block in snapshot.fingerprint_blocks for one in block]
    assert read == list(ids[3:])
    assert described == [one for one in ids[3:] if (one - ids[0]) % 3 == 0]


@pytest.mark.parametrize("seed", range(3))
def test_encrypting_a_store_may_be_cut_off(
    open_with: Open, vault: Vault, tmp_path: Path, make_entries: MakeEntries, seed: int
) -> None:
    """It goes on where it was; until it is whole nobody serves it, and then nothing is in clear."""
    rng, new = random.Random(seed), make_entries(600)
    store = open_with(None)
    ids = fill(store, make_entries, 600)
    store.close()
    command = [sys.executable, "-c", ENCRYPTER, sqlite_url(tmp_path), str(tmp_path / "keys")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(rng.randrange(1, 10)):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    for wrong in (vault, None):
        with pytest.raises(KeysUnusable, match="in part"):
            open_with(wrong)
    whole = Store(sqlite_url(tmp_path), vault=vault)
    progress: list[int] = []
    whole.encrypt(progress.append)
    whole.close()
    assert 0 < progress[-1] < 600
    reopened = open_with(vault)
    assert [reopened.get_fingerprint(one) for one in ids] == [one.fingerprint for one in new]
    reopened.close()
    kept = disk(tmp_path)
    assert not [one for one in new if one.fingerprint.whole.code in kept]
    assert not [
        one for one in new if len(one.fingerprint.codes) and bytes(one.fingerprint.codes) in kept
    ]


def test_a_folder_of_keys_that_is_behind_is_refused(
    open_with: Open, vault: Vault, tmp_path: Path, make_entries: MakeEntries
) -> None:
    """A server that began with it would answer ALLOW for entries whose keys are lost."""
    store = open_with(vault)
    fill(store, make_entries)
    store.close()
    shutil.copytree(tmp_path / "keys", tmp_path / "older")
    store = open_with(vault)
    store.add_entries("known", "later", make_entries(5, seed=1))
    store.close()
    with pytest.raises(KeysUnusable, match="older than the store"):
        open_with(Vault(tmp_path / "older", MASTER))


def test_a_store_whose_last_entry_was_erased_in_clear_can_be_encrypted(
    open_with: Open, vault: Vault, clock: Clock, make_entries: MakeEntries
) -> None:
    """That it has no key does not make the folder of the keys look older than the store."""
    store = open_with(None)
    ids, new = fill(store, make_entries), make_entries(30)
    store.set_state(ids[-1:], EntryState.WITHDRAWN)
    clock.now_s += ERASE_AFTER_S
    assert erase(store) == 1
    store.close()
    for _ in range(2):  # again, it changes nothing
        whole = Store(store.url, vault=vault)
        whole.encrypt(lambda _: None)
        whole.close()
    reopened = open_with(vault)
    assert [reopened.get_fingerprint(one) for one in ids[:-1]] == [
        one.fingerprint for one in new[:-1]
    ]
