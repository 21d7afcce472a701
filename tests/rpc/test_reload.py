"""Credentials that change while processes run: revoked everywhere, at once, without a restart."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from tests.rpc.conftest import END_S_MAX, Running

from imageward_client import (
    Client,
    HashQuery,
    ImagewardClientError,
    RetryPolicy,
    Unauthenticated,
    Verdict,
)
from imageward_server.access import Role, hash_secret, new_secret
from imageward_server.key_file import new_key, write_key

WAIT_S = 60
# Of /proc/net/tcp.
LISTENING = "0A"
# What is promised. The clock begins before the signal is sent.
REVOKED_S_MAX = 5
HASHES = [bytes(32)]
SECRETS = {name: new_secret() for name in ("feed", "other", "ana")}
TOKENS = {name: f"{name}.{secret}" for name, secret in SECRETS.items()}


def _table(name: str, role: Role) -> str:
    return f'[credentials.{name}]\nrole = "{role}"\nsecret_hash = "{hash_secret(SECRETS[name])}"\n'


BOTH = _table("feed", Role.FRONTEND) + _table("other", Role.FRONTEND)


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Path]]:
    """Run a server of two workers for all tests; return its configuration file, too."""
    folder = tmp_path_factory.mktemp("reload")
    file = folder / "server.toml"
    file.write_text(BOTH)
    flags = ("--config", str(file), "--workers", "2", "--log-format", "json")
    running = Running(folder / "data", *flags)
    yield running, file
    running.close()


@pytest.fixture
def file(started: tuple[Running, Path]) -> Path:
    """Return the configuration file, with two frontends, which are in force."""
    running, path = started
    path.write_text(BOTH)
    taken = len(_said(running, "access replaced"))
    running.process.send_signal(signal.SIGHUP)
    _until(lambda: len(_said(running, "access replaced")) == taken + 2)
    return path


@pytest.fixture
def running(started: tuple[Running, Path]) -> Running:
    """Return the server."""
    return started[0]


def _client(running: Running, name: str) -> Client:
    """Return a client whose connections reach every worker, and which retries nothing."""
    return Client(
        running.target,
        timeout_s=WAIT_S,
        channels=16,
        token=TOKENS[name],
        retry=RetryPolicy(attempts_max=1),
    )


def _until(holds: Callable[[], object]) -> None:
    end = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)


def _is_refused(client: Client) -> bool:
    try:
        client.check_hashes(HASHES)
    except Unauthenticated:
        return True
    return False


def _said(running: Running, event: str) -> list[dict[str, object]]:
    lines = [line for line in running.said().splitlines() if line.startswith("{")]
    return [line for line in map(json.loads, lines) if line["event"].startswith(event)]


def test_a_revoked_credential_is_refused_by_every_worker(running: Running, file: Path) -> None:
    """Within 5 s on each connection; its open streams end, and another's go on."""
    asked = threading.Event()

    def questions() -> Iterator[HashQuery]:
        yield HashQuery(bytes(32))
        asked.wait(WAIT_S)
        yield HashQuery(bytes(32))

    with _client(running, "feed") as feed, _client(running, "other") as other:
        streams = [feed.check_stream(questions()) for _ in range(4)]
        kept = other.check_stream(questions())
        for stream in (*streams, kept):
            assert next(stream).result is not None
        assert not any(_is_refused(feed) for _ in range(16))
        begun_s = time.monotonic()
        file.write_text('revoked = ["feed"]\n' + BOTH)
        running.process.send_signal(signal.SIGHUP)
        for stream in streams:
            with pytest.raises(ImagewardClientError):
                next(stream)
        _until(lambda: all(_is_refused(feed) for _ in range(16)))
        took_s = time.monotonic() - begun_s
        asked.set()
        answer = next(kept).result
        assert answer is not None
        assert answer.verdict is Verdict.ALLOW
        assert not any(_is_refused(other) for _ in range(16))
    print(f"revoked in {took_s:.2f} s")  # noqa: T201 - the figure of the run
    assert took_s < REVOKED_S_MAX
    # A worker that comes later knows as well.
    old = set(running.worker_pids())
    running.process.send_signal(signal.SIGUSR2)
    _until(lambda: len(running.worker_pids()) == 2 and not old & set(running.worker_pids()))
    with _client(running, "feed") as feed, _client(running, "other") as other:
        assert all(_is_refused(feed) for _ in range(16))
        assert not any(_is_refused(other) for _ in range(16))


BAD_FILES = {
    "credentials = 1": "credentials",
    BOTH + "secret = 1": "Extra inputs",
    "colour = 1\n" + BOTH: "colour, which is not a setting",
    "": "let everybody do everything",
    "= 1": "cannot be read",
}


def test_a_bad_file_leaves_the_one_before_in_force(running: Running, file: Path) -> None:
    """The log says what is wrong with it, and a good one is taken after that."""
    with _client(running, "feed") as feed:
        for text, said in BAD_FILES.items():
            before = len(_said(running, "configuration not taken"))
            file.write_text(text)
            running.process.send_signal(signal.SIGHUP)
            _until(lambda before=before: len(_said(running, "configuration not taken")) > before)
            assert said in str(_said(running, "configuration not taken")[-1]["error"])
            assert not _is_refused(feed)
        file.write_text("grace_s = 3.0\n" + _table("other", Role.FRONTEND))
        running.process.send_signal(signal.SIGHUP)
        _until(lambda: _is_refused(feed))
    assert _said(running, "configuration taken")[-1]["wait_for_restart"] == ["grace_s"]


def test_a_large_configuration_reaches_the_workers(running: Running, file: Path) -> None:
    """Also where it is more than a pipe holds."""
    rows = "".join(f'[credentials.c{n}]\nrole = "frontend"\n' for n in range(3_000))
    file.write_text(rows + _table("other", Role.FRONTEND))
    running.process.send_signal(signal.SIGHUP)
    with _client(running, "feed") as feed, _client(running, "other") as other:
        _until(lambda: all(_is_refused(feed) for _ in range(16)))
        assert not _is_refused(other)


@contextmanager
def _intake(folder: Path, file: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run the intake's process; its words go to a file."""
    key = folder / "master.key"
    key.write_text(write_key(new_key()))
    key.chmod(0o600)
    intake = folder / "intake.toml"
    intake.write_text(f'master_key_file = "{key}"\nlisten = "127.0.0.1:0"\n')
    flags = ["--config", str(file), "--intake-config", str(intake), "--data-dir", str(folder)]
    command = [sys.executable, "-m", "imageward_server", "intake", "serve", *flags]
    with (folder / "said").open("w") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(END_S_MAX)


def test_the_intake_s_pages_take_it_too(tmp_path: Path) -> None:
    """Whoever has signed in is signed out once the credential is gone."""
    file = tmp_path / "server.toml"
    file.write_text(_table("ana", Role.REVIEWER))
    with _intake(tmp_path, file) as process:
        _until(lambda: _ports_of(process.pid))
        url = f"http://127.0.0.1:{_ports_of(process.pid)[0]}"
        with httpx.Client(base_url=url, follow_redirects=True, timeout=WAIT_S) as browser:
            assert _sign_in(browser).status_code == 200
            assert browser.get("/review").status_code == 200
            file.write_text(_table("other", Role.FRONTEND))
            process.send_signal(signal.SIGHUP)
            _until(lambda: browser.get("/review").status_code == 401)
            assert _sign_in(browser).status_code == 403


def _sign_in(browser: httpx.Client) -> httpx.Response:
    """Sign in as the reviewer, by the form that is shown."""
    shown = re.search(r'name="token" value="(\w+)"', browser.get("/staff").text)
    assert shown
    fields = {"token": shown[1], "name": "ana", "secret": SECRETS["ana"]}
    return browser.post("/staff", data=fields)


def _ports_of(pid: int) -> list[int]:
    """List the ports that a process listens on."""
    links = set()
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # it was closed since it was listed
            links.add(str(path.readlink()))
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return [
        int(row[1].rpartition(":")[2], 16)
        for row in rows
        if row[3] == LISTENING and f"socket:[{row[9]}]" in links
    ]
