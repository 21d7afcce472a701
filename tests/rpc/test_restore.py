"""A server on a restored store: answers as of the backup, and nothing of the old one's future."""

from __future__ import annotations

import os
import select
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from typer.testing import CliRunner

from imageward_client import Client, PdqHash, RevisionNotReached, Unavailable, Verdict
from imageward_server.app import Server
from imageward_server.cli import app
from imageward_server.config import Config
from imageward_server.hasher import InProcessHasher
from imageward_server.store.engine import open_engine, sqlite_url, writing

if TYPE_CHECKING:
    from conftest import Start

CODES = [np.random.default_rng(seed).bytes(32) for seed in range(60)]
HASHES = [PdqHash(code) for code in CODES]
# So few codes are sealed, that the folder has segments.
SEAL_CODES = 20
PATIENCE_S = 60.0


@contextmanager
def serving(data_dir: Path) -> Iterator[Client]:
    """Serve a data folder in this process; seal early."""
    config = Config(
        data_dir=data_dir, listen="127.0.0.1:0", insecure=True, grace_s=1.0, seal_codes=SEAL_CODES
    )
    server = Server(config, InProcessHasher())
    server.start(lambda *_progress: None)
    with Client(f"127.0.0.1:{server.port}", timeout_s=60) as client:
        yield client
    server.stop()


def blocked(client: Client) -> list[bool]:
    """Ask about every hash."""
    return [one.verdict is Verdict.BLOCK for one in client.check_hashes(HASHES).results]


def command(*words: str | Path) -> None:
    """Run a command that must not fail."""
    result = CliRunner().invoke(app, [*map(str, words)])
    assert result.exit_code == 0, result.stderr


def banks_once_served(client: Client) -> list[str]:
    """Ask until a worker serves again; until then connections are refused."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return [bank.name for bank in client.list_banks()]
        except Unavailable:
            assert time.monotonic() < deadline, "no worker came"
            select.select([], [], [], 0.1)


@pytest.mark.parametrize("with_old_segments", [False, True])
def test_answers_are_those_of_the_backup(tmp_path: Path, *, with_old_segments: bool) -> None:
    """Also where segments of the store's lost future lie in the folder: they are of another."""
    old, new, file = tmp_path / "old", tmp_path / "new", tmp_path / "one.backup"
    with serving(old) as client:
        client.create_bank("bank")
        ids = [one.entry_id for one in client.add_entries("bank", hashes=HASHES[:30]).results]
        client.withdraw_entries([ids[0]])
        command("backup", file, "--data-dir", old)
        at_backup = blocked(client)
        # What is lost: other hashes, under the revisions that the restored store goes on to.
        lost = client.add_entries("bank", hashes=HASHES[30:45]).revision
    command("segments", "compact", "--data-dir", old)
    new.mkdir()
    shutil.copy(old / "audit.key", new)
    command("restore", file, "--data-dir", new)
    if with_old_segments:
        shutil.copytree(old / "segments", new / "segments")
    with serving(new) as client:
        assert blocked(client) == at_backup
        with pytest.raises(RevisionNotReached):
            client.check_hashes(HASHES[:1], minimum_revision=lost, timeout_s=0.5)
        revision = client.add_entries("bank", hashes=HASHES[45:]).revision
        assert revision == lost
        assert blocked(client) == [*at_backup[:30], *[False] * 15, *[True] * 15]
    if with_old_segments:  # and now their revision is one that the new store has too
        shutil.rmtree(new / "segments")
        shutil.copytree(old / "segments", new / "segments")
    with serving(new) as client:
        assert blocked(client) == [*at_backup[:30], *[False] * 15, *[True] * 15]


def test_workers_start_anew_on_a_store_that_was_replaced(start: Start) -> None:
    """Under a server that runs on, as a fleet's database may be: each loads what is there now."""
    running = start("--workers", "1", "--feed-poll-s", "0.05")
    running.client.create_bank("bank")
    (before,) = running.worker_pids()
    handle = os.pidfd_open(before)
    engine = open_engine(sqlite_url(running.data_dir))
    with writing(engine) as connection:
        connection.exec_driver_sql("UPDATE head SET store_id = 'another'")
    engine.dispose()
    assert select.select([handle], [], [], PATIENCE_S)[0], "the worker went on"
    os.close(handle)
    assert banks_once_served(running.client) == ["bank"]
    assert "store replaced" in running.said()
