"""The server as its own process: start, stop, crash, and what it says when it cannot start."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from imageward_client import EntryState, Verdict
from imageward_server.access import hash_secret
from imageward_server.store.engine import FILE_NAME

if TYPE_CHECKING:
    from conftest import Start

WAIT_S = 60


def test_what_was_acknowledged_survives_sigkill(
    start: Start, photograph: Callable[[str], bytes]
) -> None:
    """Entries, banks, states and request ids are all there after a kill and a restart."""
    picture = photograph("camera.png")
    first = start()
    first.client.create_bank("bank", radius=20)
    added = first.client.add_entries("bank", images=[picture, picture], request_id="one")
    kept, gone = (result.entry_id or "" for result in added.results)
    withdrawn = first.client.withdraw_entries([gone])
    assert first.end(signal.SIGKILL)[0] == -signal.SIGKILL

    second = start()
    answer = second.client.check_image(picture)
    assert (answer.verdict, answer.entry_ids) == (Verdict.BLOCK, (kept,))
    assert answer.revision == withdrawn.revision
    assert second.client.get_entry(gone).state is EntryState.WITHDRAWN
    assert second.client.get_bank("bank").radius_bits == 20
    assert second.client.add_entries("bank", images=[picture] * 2, request_id="one").replayed


def test_a_kill_amid_writes_loses_nothing_acknowledged(start: Start) -> None:
    """However the kill falls between batches, each acknowledged one is there whole."""
    first = start()
    first.client.create_bank("bank")
    acknowledged: list[str] = []
    batch = [bytes([number % 256] * 32) for number in range(200)]
    for number in range(10):
        answer = first.client.add_entries("bank", hashes=batch)
        acknowledged += [result.entry_id or "" for result in answer.results]
        if number == 7:
            first.process.send_signal(signal.SIGKILL)
            break
    first.end(signal.SIGKILL)
    second = start()
    there = [entry.id for entry in second.client.list_entries("bank")]
    assert there[: len(acknowledged)] == acknowledged
    assert len(there) % len(batch) == 0
    assert second.client.get_stats().index_size == len(there)


def test_a_terminated_server_drains_and_ends_with_0(start: Start) -> None:
    """SIGTERM: health NOT_SERVING, then the end, and the log tells both."""
    running = start("--log-format", "json")
    code, errors = running.end(signal.SIGTERM)
    assert code == 0
    told = [json.loads(line) for line in errors.splitlines() if line.startswith("{")]
    life = ("loaded", "listening", "serving", "draining", "stopped")
    by_worker = [line["event"] for line in told if line.get("worker") == 1]
    by_supervisor = [line["event"] for line in told if "worker" not in line]
    assert [event for event in by_worker if event in life] == list(life)
    assert [event for event in by_supervisor if event in life] == ["draining", "stopped"]


def test_a_server_that_is_open_to_everybody_says_so(start: Start) -> None:
    """Once, before it serves."""
    _, errors = start("--log-format", "json").end(signal.SIGTERM)
    told = [line for line in errors.splitlines() if "no credential is configured" in line]
    assert [json.loads(line)["level"] for line in told] == ["warning"]


def test_the_start_shows_progress(start: Start) -> None:
    """A start that reads entries says how many of how many."""
    first = start()
    first.client.create_bank("bank")
    first.client.add_entries("bank", hashes=[bytes(32)] * 10)
    first.end(signal.SIGTERM)
    _, errors = start().end(signal.SIGTERM)
    assert "reading hashes: 10 of 10" in errors


def _fail(*flags: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "imageward_server", "serve", "--insecure", *flags],
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
        env=os.environ | environment,
    )


def test_a_taken_port_is_an_error_with_a_hint(tmp_path: Path) -> None:
    """Exit code 1, and the address in the message."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = _fail("--data-dir", str(tmp_path), "--listen", address)
    assert ended.returncode == 1
    assert f"cannot listen on {address}" in ended.stderr


def test_a_store_of_the_future_is_refused(start: Start, tmp_path: Path) -> None:
    """Exit code 1, and the store is left as it was."""
    start().end(signal.SIGTERM)
    with closing(sqlite3.connect(tmp_path / "data" / FILE_NAME)) as store, store:
        store.execute("UPDATE alembic_version SET version_num = 'v999'")
    ended = _fail("--data-dir", str(tmp_path / "data"), "--listen", "127.0.0.1:0")
    assert ended.returncode == 1
    assert "format v999" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_store_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """Exit code 1, and the file is left as it was."""
    file = tmp_path / FILE_NAME
    file.write_bytes(b"not a database" * 1000)
    ended = _fail("--data-dir", str(tmp_path), "--listen", "127.0.0.1:0")
    assert ended.returncode == 1
    assert "damaged" in ended.stderr
    assert file.read_bytes() == b"not a database" * 1000


def test_an_emptied_store_is_refused(tmp_path: Path) -> None:
    """Exit code 1: a store without bytes would start as a new one, and allow everything."""
    (tmp_path / FILE_NAME).touch()
    ended = _fail("--data-dir", str(tmp_path), "--listen", "127.0.0.1:0")
    assert ended.returncode == 1
    assert "no bytes" in ended.stderr


def test_config_show_tells_origins_and_no_password(tmp_path: Path) -> None:
    """Each value comes with its origin, and a password in a URL stays hidden."""
    file = tmp_path / "server.toml"
    kept = hash_secret("of the tests")
    file.write_text(
        'store_url = "postgresql://user:secret@host/db"\nstreams_max = 7\n'
        f'[credentials.feed]\nrole = "frontend"\nsecret_hash = "{kept}"\n'
    )
    command = [sys.executable, "-m", "imageward_server", "config", "show", "--config", str(file)]
    flags = ["--json", "--origin"]
    shown = subprocess.run([*command, *flags], capture_output=True, text=True, check=True).stdout
    rows = json.loads(shown)
    assert rows["streams_max"] == {"value": 7, "origin": str(file)}
    assert rows["feed_poll_s"]["origin"] == "default"
    assert "host/db" in rows["store_url"]["value"]
    assert "secret" not in shown
    assert rows["credentials"]["value"] == {"feed": "frontend"}
    assert kept not in shown
    plain = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "streams_max" in plain
    assert "default" not in plain


@pytest.mark.parametrize(
    ("flags", "environment", "said"),
    [
        (["--listen", "0.0.0.0:1"], {}, "insecure_anywhere"),
        (["--streams-max", "0"], {}, "streams_max (from flag)"),
        ([], {"IMAGEWARD_SERVER_STREAMS_MAX": "many"}, "streams_max (from environment)"),
        ([], {"IMAGEWARD_SERVER_STREAM_MAX": "1"}, "not a setting"),
        (["--config", "no-such-file.toml"], {}, "no-such-file.toml"),
    ],
)
def test_a_wrong_setting_is_named_with_its_origin(
    flags: list[str], environment: dict[str, str], said: str
) -> None:
    """Exit code 2, the setting, and where it came from."""
    ended = _fail(*flags, **environment)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_data_folder_is_for_its_owner_alone(start: Start, tmp_path: Path) -> None:
    """Neither the folder nor the store can be read by others."""
    start()
    modes = {
        path.name: path.stat().st_mode & 0o077
        for path in [tmp_path / "data", *(tmp_path / "data").iterdir()]
    }
    assert FILE_NAME in modes
    assert set(modes.values()) == {0}
