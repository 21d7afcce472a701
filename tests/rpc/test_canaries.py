"""No log line holds anything of a picture, a hash, a person or a token, whatever was called.

Canaries go in by every field of every method, by headers and by the intake's pages, also
where the server then fails by a planted fault. All that the processes wrote is searched for
them: as it is, in hexadecimal, in base64, and as Python writes bytes.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import random
import re
import select
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import grpc
import httpx
import pytest
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message

from imageward_server.access.credential import hash_secret
from imageward_server.key_file import new_key, write_key
from imageward_server.lifecycle import SERVICES
from imageward_server.store.engine import FILE_NAME

if TYPE_CHECKING:
    from conftest import Start

WAIT_S = 60.0
WINDOW = 9
PERSON = "canary.person@example.org"
TOKEN = "canaryTokenQ7xW2vN8sD4k"  # noqa: S105 - a canary
SECRET = "canary battery staple 1957"  # noqa: S105 - of the tests alone
HASH = random.Random(31).randbytes(32)
LISTENING = "0A"


def forms(of: bytes) -> Iterator[bytes]:
    """Write a canary in each way that a log could."""
    yield of
    yield of.hex().encode()
    yield repr(of)[2:-1].encode()
    yield json.dumps(of.decode("latin-1"))[1:-1].encode()
    for shift in range(3):
        whole = of[shift : shift + (len(of) - shift) // 3 * 3]
        yield base64.b64encode(whole)
        yield base64.urlsafe_b64encode(whole)


def needles(of: bytes) -> set[bytes]:
    """Cut every form of a canary into windows, so that a part of it is found too."""
    return {
        form[at : at + WINDOW]
        for form in forms(of)
        for at in range(max(len(form) - WINDOW, 0) + 1)
        # Zeros and the like stand in any log.
        if len(set(form[at : at + WINDOW])) > 4
    }


def found(canaries: dict[str, bytes], log: bytes) -> list[str]:
    """Name the canaries of which a log holds something."""
    windows = {log[at : at + WINDOW].lower() for at in range(len(log))}
    return [
        name
        for name, canary in canaries.items()
        if not windows.isdisjoint(one.lower() for one in needles(canary))
    ]


@pytest.mark.parametrize(
    "written", [HASH, HASH.hex().upper().encode(), base64.b64encode(b"xy" + HASH), repr(HASH)]
)
def test_the_search_finds_a_canary_where_there_is_one(written: bytes | str) -> None:
    """A part of it in the middle of a line is enough; a search that finds nothing proves none."""
    text = written if isinstance(written, bytes) else written.encode()
    assert found({"hash": HASH}, b'{"event": "x ' + text[5:-5] + b'"}') == ["hash"]
    assert found({"hash": HASH}, b'{"event": "nothing of it"}') == []


def fill(message: Message, chosen: str = "") -> None:
    """Put canaries into every field; of fields that exclude each other into the chosen one."""
    for field in message.DESCRIPTOR.fields:
        if field.containing_oneof and field.name != chosen and not field.has_presence:
            continue
        if field.containing_oneof and chosen and field.name != chosen:
            continue
        _fill_field(message, field)


def _fill_field(message: Message, field: FieldDescriptor) -> None:
    if field.message_type and field.message_type.GetOptions().map_entry:
        return
    if field.message_type:
        held = getattr(message, field.name)
        fill(held.add() if field.is_repeated else held)
        return
    value: Any = 1
    if field.type == FieldDescriptor.TYPE_STRING:
        value = PERSON
    elif field.type == FieldDescriptor.TYPE_BYTES:
        value = HASH
    if field.is_repeated:
        getattr(message, field.name).append(value)
    else:
        setattr(message, field.name, value)


def requests_of(method: MethodDescriptor) -> Iterator[Message]:
    """Make a request for each way to fill the method's message."""
    kind = message_factory.GetMessageClass(method.input_type)
    choices = [field.name for one in method.input_type.oneofs for field in one.fields]
    for chosen in choices or [""]:
        request = kind()
        fill(request, chosen)
        yield request


def call_everything(channel: grpc.Channel, bearer: str = f"{TOKEN}.{TOKEN}") -> int:
    """Call every method of every service with canaries; return how many calls were made."""
    metadata = [("authorization", f"Bearer {bearer}"), ("x-person", PERSON)]
    count = 0
    for service in SERVICES:
        for method in descriptor_pool.Default().FindServiceByName(service).methods:
            path = f"/{service}/{method.name}"
            for request in requests_of(method):
                data = request.SerializeToString()
                # Also as one that is torn, which no method can read.
                for sent in (data, data[: len(data) // 2] + b"\xff"):
                    call = channel.stream_stream(path)([sent].__iter__(), WAIT_S, metadata)
                    with contextlib.suppress(grpc.RpcError):
                        list(call)
                    count += 1
    return count


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """Write an intake's file."""
    key = tmp_path / "master.key"
    key.write_text(write_key(new_key()))
    key.chmod(0o600)
    file = tmp_path / "intake.toml"
    file.write_text(f'master_key_file = "{key}"\nlisten = "127.0.0.1:0"\n')
    return file


def _plant(data_dir: Path, table: str) -> None:
    """Let every insertion into a table fail in a way that no code expects."""
    with closing(sqlite3.connect(data_dir / FILE_NAME, timeout=WAIT_S)) as store, store:
        store.execute(
            f"CREATE TRIGGER planted_{table} BEFORE INSERT ON {table}"
            " BEGIN SELECT RAISE(ABORT, 'planted'); END"
        )


def test_the_server_s_logs_hold_nothing(start: Start, settings: Path, astronaut: bytes) -> None:
    """Supervisor, worker and cage: every line is JSON, and none has a part of a canary."""
    running = start(
        *("--log-format", "json", "--log-level", "debug", "--intake-config", str(settings))
    )
    client = running.client
    client.create_bank("bank")
    client.add_entries("bank", images=[astronaut], references=[PERSON])
    client.check_image(astronaut)
    with grpc.insecure_channel(running.target) as channel:
        assert call_everything(channel) > 2 * 20
    _plant(running.data_dir, "entry")
    torn = astronaut[: len(astronaut) // 2]
    for attempt in (
        lambda: client.add_entries("bank", hashes=[HASH], references=[PERSON]),
        lambda: client.check_image(torn),
    ):
        with contextlib.suppress(Exception):
            attempt()
    code, said = running.end(signal.SIGTERM)
    assert code == 0
    events = [json.loads(line) for line in said.splitlines()]
    # The fault was met, and is told by its class and place.
    (failed,) = (one for one in events if one["event"] == "internal error")
    assert "sqlalchemy.exc.IntegrityError" in failed["exception"]
    assert "SQLITE_CONSTRAINT" in failed["exception"]
    assert {"loading", "serving", "stopped"} <= {one["event"] for one in events}
    canaries = {"hash": HASH, "person": PERSON.encode(), "token": TOKEN.encode()}
    assert found({**canaries, "picture": astronaut[:4000]}, said.encode()) == []


def test_a_server_that_knows_its_callers_logs_no_token(
    start: Start, tmp_path: Path, settings: Path
) -> None:
    """Neither one that it knows, nor one that it does not."""
    file = tmp_path / "server.toml"
    file.write_text(
        f'[credentials.ana]\nrole = "operator"\nsecret_hash = "{hash_secret(SECRET)}"\n'
    )
    flags = ("--log-format", "json", "--log-level", "debug", "--intake-config", str(settings))
    running = start("--config", str(file), *flags)
    with grpc.insecure_channel(running.target) as channel:
        for bearer in (f"{TOKEN}.{TOKEN}", f"ana.{TOKEN}", f"ana.{SECRET}"):
            call_everything(channel, bearer)
    code, said = running.end(signal.SIGTERM)
    assert code == 0
    canaries = {"hash": HASH, "person": PERSON.encode(), "token": TOKEN.encode()}
    assert found({**canaries, "secret": SECRET.encode()}, said.encode()) == []


def _listening_port(pid: int) -> int | None:
    """Find where a process listens."""
    sockets = set()
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            sockets.add(str(path.readlink()))
    for row in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        words = row.split()
        if words[3] == LISTENING and f"socket:[{words[9]}]" in sockets:
            return int(words[1].rpartition(":")[2], 16)
    return None


@contextlib.contextmanager
def _intake(data_dir: Path, settings: Path, log: IO[bytes]) -> Iterator[str]:
    """Run the intake's process; yield where its pages are."""
    command = [sys.executable, "-m", "imageward_server", "intake", "serve"]
    command += ["--data-dir", str(data_dir), "--intake-config", str(settings)]
    environment = {**os.environ, "IMAGEWARD_SERVER_LOG_FORMAT": "json"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=environment) as process:
        deadline = time.monotonic() + WAIT_S
        while (port := _listening_port(process.pid)) is None:
            assert time.monotonic() < deadline
            assert process.poll() is None
            select.select([], [], [], 0.02)
        yield f"http://127.0.0.1:{port}"
        process.terminate()
        process.communicate(timeout=WAIT_S)


def test_the_intake_s_logs_hold_nothing(tmp_path: Path, settings: Path) -> None:
    """Neither what a page was asked by, nor what was in a form, also where the page failed."""
    data_dir = tmp_path / "data"
    canaries = {"person": PERSON.encode(), "token": TOKEN.encode(), "secret": SECRET.encode()}
    with (
        tempfile.TemporaryFile() as log,
        _intake(data_dir, settings, log) as base,
        httpx.Client(base_url=base, headers={"x-person": PERSON}, timeout=WAIT_S) as browser,
    ):
        for path in ("/", "/status", "/staff", f"/u/{TOKEN}", f"/{PERSON}", f"/review/{TOKEN}"):
            browser.get(path, params={"token": TOKEN})
            browser.post(path, data={"contact": PERSON, "secret": TOKEN})
        _plant(data_dir, "intake_failure")
        token = re.search(r'name="token" value="(\w+)"', browser.get("/staff").text)
        assert token
        fields = {"token": token[1], "name": PERSON, "secret": TOKEN}
        assert browser.post("/staff", data=fields).status_code == 500
        said = os.pread(log.fileno(), os.fstat(log.fileno()).st_size, 0)
    events = [json.loads(line) for line in said.splitlines()]
    assert "page failed" in {one["event"] for one in events}
    assert found(canaries, said) == []
