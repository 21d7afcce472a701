"""Peers that misbehave on HTTP/2: the server goes on answering, and its memory stays bounded.

Short versions of `make abuse`, which also measures what good callers notice.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from imageward_bench.abuse.abuser import Deeds, misbehave
from imageward_bench.abuse.kinds import KINDS, connect
from imageward_bench.grpc_wire import PREFACE
from imageward_bench.process_tree import look
from imageward_bench.server_process import ServerProcess
from imageward_client import Client
from imageward_server.calls.transport import HANDSHAKE_S_MAX

ABUSE_S = 1.0
GREW_BYTES_MAX = 150_000_000
# gRPC unpacks each of its header blocks before it refuses the call, and keeps the memory
# for the next: as much as the streams of one connection take.
GREW_BYTES_MAX_BY_KIND = {"header_bomb": 250_000_000}
TIMEOUT_S = 30.0
# Those that gRPC itself recognises as attacks. The others are bounded instead.
CUT = {"made_you_reset", "garbage"}
# Those that cost less than what gRPC does to end them.
ANSWERED = {"ping_flood"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Run a server as a process of its own, whose memory can be seen."""
    with ServerProcess(tmp_path_factory.mktemp("abuse") / "data") as running:
        with Client(running.target, timeout_s=TIMEOUT_S) as client:
            client.check_hashes([bytes(32)])
        yield running


@pytest.mark.parametrize("kind", KINDS)
def test_the_server_answers_while_it_is_abused(server: ServerProcess, kind: str) -> None:
    """A good caller is answered, memory is bounded, and what is an attack is cut off."""
    before, deeds = look(server.pid).own_bytes, list[Deeds]()
    abuser = threading.Thread(target=_abuse, args=(server, kind, deeds), daemon=True)
    abuser.start()
    grew, answered = 0, 0
    with Client(server.target, timeout_s=TIMEOUT_S) as client:
        while abuser.is_alive() or not answered:
            answered += len(client.check_hashes([bytes(32)]).results)
            grew = max(grew, look(server.pid).own_bytes - before)
    abuser.join()
    assert answered > 0
    assert grew < GREW_BYTES_MAX_BY_KIND.get(kind, GREW_BYTES_MAX)
    assert deeds[-1].bursts > 0
    if kind in CUT:
        assert deeds[-1].cuts > 0
    if kind in ANSWERED:
        assert deeds[-1].cuts == 0


def _abuse(server: ServerProcess, kind: str, deeds: list[Deeds]) -> None:
    """Misbehave for a while, and until it is cut off if that is expected."""
    end = time.monotonic() + TIMEOUT_S
    while not deeds or (kind in CUT and not deeds[-1].cuts and time.monotonic() < end):
        deeds.append(misbehave(kind, server.port, ABUSE_S))


@pytest.mark.parametrize("opening", [b"", PREFACE[:10]], ids=["silent", "half a preface"])
def test_a_peer_that_does_not_finish_its_preface_is_cut(
    server: ServerProcess, opening: bytes
) -> None:
    """Within the time for a handshake."""
    with closing(connect(server.port, opening)) as connection:
        connection.socket.settimeout(HANDSHAKE_S_MAX + TIMEOUT_S)
        while connection.socket.recv(1024):
            pass  # its own SETTINGS
