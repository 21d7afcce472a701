"""Backup and restore: exact at a revision while the store is written to, or refused."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from click.testing import Result
from typer.testing import CliRunner

from imageward_index.policy import Action, Policy
from imageward_server.app import open_store
from imageward_server.audit.row import Actor
from imageward_server.backup.archive import read_label
from imageward_server.backup.restore import SERIALS_PASSED
from imageward_server.cli import app
from imageward_server.config import Config
from imageward_server.errors import EntryNotFound, KeysUnusable
from imageward_server.key_file import make_key_file
from imageward_server.store import EntryState, Store
from imageward_server.store.engine import FILE_NAME, open_engine, reading, sqlite_url, writing
from imageward_server.store.schema import metadata

if TYPE_CHECKING:
    from conftest import MakeEntries

ANA = Actor("ana", "reviewer")
Run = Callable[..., Result]
# What a restore changes on purpose: the store's name, the audit's end, sessions.
CHANGED = {"head", "audit_row", "audit_head", "audit_checkpoint", "intake_session"}


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Return the data folder of a server."""
    return tmp_path / "data"


@pytest.fixture
def served(data_dir: Path, make_entries: MakeEntries) -> Iterator[Store]:
    """Return an open store with two banks, 40 entries and some withdrawn ones."""
    store = open_store(Config(data_dir=data_dir))
    store.create_bank("known", Policy(), ANA)
    store.create_bank("logged", Policy(action=Action.LOG, radius_bits=20), ANA)
    ids = store.add_entries("known", "r1", make_entries(30, 1), ANA).entry_ids
    store.add_entries("logged", "r2", make_entries(10, 2), ANA)
    store.set_state(ids[::4], EntryState.WITHDRAWN, ANA)
    yield store
    store.close()


@pytest.fixture
def backup(served: Store, data_dir: Path, tmp_path: Path) -> Path:
    """Take a backup; return its file."""
    del served
    file = tmp_path / "one.backup"
    result = run("backup", file, "--data-dir", data_dir, "--reason", "nightly")
    assert result.exit_code == 0, result.stderr
    return file


@pytest.fixture
def fresh(data_dir: Path, tmp_path: Path) -> Path:
    """Return a folder to restore into, which holds the audit's key and nothing else."""
    folder = tmp_path / "fresh"
    folder.mkdir()
    if data_dir.exists():
        shutil.copy(data_dir / "audit.key", folder)
    return folder


def run(*words: str | Path) -> Result:
    """Run the command."""
    return CliRunner().invoke(app, [*map(str, words)])


def tables_of(data_dir: Path, but: set[str]) -> dict[str, list[Any]]:
    """Read every row of every table but some."""
    engine = open_engine(sqlite_url(data_dir))
    with reading(engine) as connection:
        found = {
            name: sorted(map(repr, connection.execute(sa.select(table)).all()))
            for name, table in metadata.tables.items()
            if name not in but
        }
    engine.dispose()
    return found


def query(data_dir: Path, sql: str) -> list[Any]:
    """Ask a database."""
    engine = open_engine(sqlite_url(data_dir))
    with reading(engine) as connection:
        found = connection.exec_driver_sql(sql).all()
    engine.dispose()
    return [tuple(row) for row in found]


def test_a_restored_store_is_what_it_was(
    served: Store, backup: Path, data_dir: Path, fresh: Path
) -> None:
    """Banks, entries, states, fingerprints, requests, cases and the feed, row by row."""
    expected = tables_of(data_dir, CHANGED)
    served.create_bank("later", Policy(), ANA)
    result = run("restore", backup, "--data-dir", fresh)
    assert result.exit_code == 0, result.stderr
    assert tables_of(fresh, CHANGED) == expected
    assert sorted(path.name for path in fresh.iterdir()) == ["audit.key", FILE_NAME]
    restored = open_store(Config(data_dir=fresh))
    assert {bank.bank.name for bank in restored.all_banks()} == {"known", "logged"}
    assert restored.store_id() != served.store_id()
    restored.close()


def test_the_audit_goes_on_where_the_backup_was_taken(
    served: Store, backup: Path, data_dir: Path, fresh: Path
) -> None:
    """Its rows are the same up to the backup's own; then somebody restored it."""
    del served
    run("restore", backup, "--data-dir", fresh, "--reason", "the disk broke")
    sql = "SELECT number, at_us, actor, action, hex(mac) FROM audit_row ORDER BY number"
    before, after = query(data_dir, sql), query(fresh, sql)
    assert before[-1][3] == "back up"
    assert after[:-1] == before
    last = query(fresh, "SELECT action, role, reason FROM audit_row ORDER BY number DESC LIMIT 1")
    assert last == [("restore", "operator", "the disk broke")]
    assert run("audit", "verify", "--data-dir", fresh).exit_code == 0


def test_a_backup_is_of_one_moment(
    served: Store, data_dir: Path, fresh: Path, tmp_path: Path, make_entries: MakeEntries
) -> None:
    """Taken while others write, it has every change up to its revision and none after."""
    stopping, added = threading.Event(), threading.Event()

    def write() -> None:
        request = 0
        while not stopping.is_set():
            served.add_entries("known", f"w{request}", make_entries(3, request), ANA)
            request += 1
            if request > 5:
                added.set()

    writer = threading.Thread(target=write)
    writer.start()
    added.wait(60)
    results = [
        run("backup", tmp_path / f"{turn}.backup", "--data-dir", data_dir) for turn in range(3)
    ]
    stopping.set()
    writer.join()
    assert [result.exit_code for result in results] == [0, 0, 0]
    run("restore", tmp_path / "2.backup", "--data-dir", fresh)
    ((revision,),) = query(fresh, "SELECT revision FROM head")
    assert f"revision {revision}," in results[2].stdout
    assert revision > 9
    sql = "SELECT id, state, revision FROM entry ORDER BY id"
    until = [row for row in query(data_dir, sql) if row[2] <= revision]
    assert query(fresh, sql) == until
    assert query(fresh, "SELECT count(*), max(revision) FROM change") == [(revision, revision)]


def test_nothing_that_was_deleted_is_in_a_backup(
    served: Store, data_dir: Path, tmp_path: Path
) -> None:
    """The copy has no free pages."""
    engine = open_engine(sqlite_url(data_dir))
    marks = [f"deleted-{number:05d}" for number in range(2000)]
    with writing(engine) as connection:
        connection.exec_driver_sql("PRAGMA secure_delete=OFF")
        connection.exec_driver_sql("CREATE TABLE scratch (said TEXT)")
        for mark in marks:
            connection.exec_driver_sql("INSERT INTO scratch VALUES (?)", (mark * 8,))
    with writing(engine) as connection:
        connection.exec_driver_sql("DROP TABLE scratch")
    engine.dispose()
    file = tmp_path / "one.backup"
    run("backup", file, "--data-dir", data_dir)
    held = file.read_bytes()
    assert not re.search(b"deleted-[0-9]{5}", held)
    assert served.store_id().encode() in held


def test_a_backup_is_for_its_owner_and_is_never_overwritten(backup: Path, data_dir: Path) -> None:
    """0600, and a second one needs another name."""
    assert backup.stat().st_mode & 0o777 == 0o600
    before = backup.read_bytes()
    result = run("backup", backup, "--data-dir", data_dir)
    assert result.exit_code == 1
    assert "exists" in result.stderr
    assert backup.read_bytes() == before


@pytest.mark.parametrize("seed", range(3))
def test_a_killed_backup_has_no_name(
    served: Store, data_dir: Path, tmp_path: Path, seed: int
) -> None:
    """Wherever it was killed, there is no file that looks like a backup, and the next works."""
    del served
    place = ["describe_copy", "sha256_of", "append_label"][seed]
    script = (
        "import os, signal, sys\n"
        "from imageward_server.backup import make\n"
        "from imageward_server.cli import app\n"
        f"make.{place} = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "sys.argv[1:1] = ['backup']\n"
        "app()\n"
    )
    file = tmp_path / "one.backup"
    killed = subprocess.run(
        [sys.executable, "-c", script, str(file), "--data-dir", str(data_dir)], check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert not file.exists()
    assert (tmp_path / ".one.backup.partial").exists()
    assert run("backup", file, "--data-dir", data_dir).exit_code == 0
    assert not (tmp_path / ".one.backup.partial").exists()


def restored(file: Path, fresh: Path) -> Result:
    """Try to restore, and insist that a failure left nothing."""
    result = run("restore", file, "--data-dir", fresh)
    if result.exit_code:
        assert sorted(path.name for path in fresh.iterdir()) == ["audit.key"]
    return result


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.9, 0.999])
def test_a_cut_backup_is_refused(backup: Path, fresh: Path, keep: float) -> None:
    """Its end is missing."""
    backup.write_bytes(backup.read_bytes()[: int(backup.stat().st_size * keep)])
    result = restored(backup, fresh)
    assert result.exit_code == 1
    assert "was cut" in result.stderr


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.75, 0.9])
def test_a_damaged_backup_is_refused(backup: Path, fresh: Path, share: float) -> None:
    """One bit anywhere is enough."""
    held = bytearray(backup.read_bytes())
    held[int(len(held) * share)] ^= 4
    backup.write_bytes(held)
    result = restored(backup, fresh)
    assert result.exit_code == 1
    assert "damaged" in result.stderr


def test_a_backup_with_bytes_in_its_middle_gone_is_refused(backup: Path, fresh: Path) -> None:
    """The label says how long the database is."""
    held = backup.read_bytes()
    backup.write_bytes(held[:4096] + held[8192:])
    assert "bytes" in restored(backup, fresh).stderr


def test_a_label_that_somebody_wrote_is_refused(backup: Path, fresh: Path) -> None:
    """Who changes the database can make the checksum anew, and not the MAC."""
    with backup.open("rb") as opened:
        label = read_label(opened)
    forged = backup.read_bytes().replace(
        f'"revision": {label.revision}'.encode(), f'"revision": {label.revision + 1}'.encode()
    )
    assert forged != backup.read_bytes()
    backup.write_bytes(forged)
    assert "under this audit key" in restored(backup, fresh).stderr


def test_a_backup_of_a_newer_version_is_refused(backup: Path, fresh: Path) -> None:
    """Before a byte of it is copied."""
    backup.write_bytes(backup.read_bytes().replace(b'"store_format": "v', b'"store_format": "w'))
    assert "does not know" in restored(backup, fresh).stderr


def test_ids_that_were_given_since_are_not_given_again(
    served: Store, backup: Path, fresh: Path, make_entries: MakeEntries
) -> None:
    """Whoever withdraws an entry that was lost must not withdraw another picture."""
    lost = served.add_entries("known", "lost", make_entries(3, 9), ANA).entry_ids
    run("restore", backup, "--data-dir", fresh)
    store = open_store(Config(data_dir=fresh))
    new = store.add_entries("known", "new", make_entries(3, 10), ANA).entry_ids
    assert new[0] - lost[0] == SERIALS_PASSED
    with pytest.raises(EntryNotFound):
        store.set_state(lost, EntryState.WITHDRAWN, ANA)
    store.close()


def test_what_was_erased_since_stays_erased(
    data_dir: Path, tmp_path: Path, make_entries: MakeEntries
) -> None:
    """The backup has its codes, and nobody has its key; the other entries are there again."""
    master, file, fresh = tmp_path / "master.key", tmp_path / "one.backup", tmp_path / "fresh"
    make_key_file(master)
    store = open_store(Config(data_dir=data_dir, store_key_file=master, erase_after_h=0))
    store.create_bank("known", Policy(), ANA)
    kept, gone = store.add_entries("known", "r1", make_entries(2), ANA).entry_ids
    expected = store.get_fingerprint(kept)
    assert run("backup", file, "--data-dir", data_dir).exit_code == 0
    store.set_state([gone], EntryState.WITHDRAWN, ANA)
    store.erase([gone])
    store.close()
    fresh.mkdir()
    shutil.copy(data_dir / "audit.key", fresh)
    shutil.copytree(data_dir / "keys", fresh / "keys")
    result = run("restore", file, "--data-dir", fresh)
    assert result.exit_code == 0, result.stderr
    config = Config(data_dir=fresh, store_key_file=master)
    with pytest.raises(KeysUnusable, match="keys adopt"):
        open_store(config)
    adopted = run("keys", "adopt", "--data-dir", fresh, "--store-key-file", master)
    assert adopted.exit_code == 0, adopted.stderr
    for _ in range(2):  # and at a later start as well
        restored = open_store(config)
        assert restored.get_entry(gone).state is EntryState.WITHDRAWN
        assert restored.get_fingerprint(kept) == expected
        (new,) = restored.add_entries("known", f"r {_}", make_entries(1, 5 + _), ANA).entry_ids
        assert restored.get_fingerprint(new).whole == make_entries(1, 5 + _)[0].fingerprint.whole
        restored.close()
    assert run("audit", "verify", "--data-dir", fresh).exit_code == 0


def test_a_folder_in_use_is_refused(backup: Path, data_dir: Path) -> None:
    """What is there stays as it is."""
    before = (data_dir / FILE_NAME).read_bytes()
    result = run("restore", backup, "--data-dir", data_dir)
    assert result.exit_code == 1
    assert "not empty" in result.stderr
    assert (data_dir / FILE_NAME).read_bytes() == before


def test_without_its_key_a_backup_is_restored_only_by_the_operator_s_word(
    backup: Path, tmp_path: Path
) -> None:
    """The audit then goes on under a new key, and covers what was before."""
    folder = tmp_path / "bare"
    result = run("restore", backup, "--data-dir", folder)
    assert (result.exit_code, "key" in result.stderr) == (2, True)
    result = run("restore", backup, "--data-dir", folder, "--renew-audit", "--reason", "all lost")
    assert result.exit_code == 0, result.stderr
    verified = run("audit", "verify", "--data-dir", folder)
    assert verified.exit_code == 0, verified.stderr
    actions = query(folder, "SELECT action FROM audit_row ORDER BY number DESC LIMIT 2")
    assert actions == [("restore",), ("renew audit",)]
