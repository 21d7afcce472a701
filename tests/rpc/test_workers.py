"""Several workers on one port: started, spread over, replaced, restarted, and ended."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from imageward_client import Client, HashQuery, ImagewardClientError, Verdict

if TYPE_CHECKING:
    from conftest import Running, Start

WAIT_S = 60.0
TWO = ("--workers", "2")
ESTABLISHED = "01"


def _until(holds: Callable[[], Any]) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline, "it did not come about"
        select.select([], [], [], 0.02)


def _connections(pid: int, port: int) -> int:
    """Count the connections to a port that a process has taken."""
    inodes = set()
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            inodes.add(str(path.readlink()))
    rows = [row.split() for row in Path(f"/proc/{pid}/net/tcp6").read_text().splitlines()[1:]]
    return sum(
        f"socket:[{row[9]}]" in inodes
        for row in rows
        if int(row[1].rpartition(":")[2], 16) == port and row[3] == ESTABLISHED
    )


def _roster(running: Running) -> list[dict[str, Any]]:
    """Read what the command tells of one server's workers."""
    command = [sys.executable, "-m", "imageward_server", "workers", "--json"]
    told = subprocess.run(
        [*command, "--data-dir", str(running.data_dir)], capture_output=True, text=True, check=True
    )
    return [
        worker
        for roster in json.loads(told.stdout)
        if roster["supervisor_pid"] == running.process.pid
        for worker in roster["workers"]
    ]


def _is_serving(target: str) -> bool:
    with grpc.insecure_channel(target) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=5)
        except grpc.RpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


@contextlib.contextmanager
def _load(target: str) -> Iterator[Counter[str]]:
    """Call a server from four threads with one shipped client; count answers and failures."""
    counts: Counter[str] = Counter()
    over = threading.Event()

    def call(client: Client) -> None:
        while not over.is_set():
            try:
                client.check_hashes([bytes(32)])
                counts["answered"] += 1
            except ImagewardClientError as error:
                counts[repr(error)] += 1

    with Client(target, timeout_s=20) as client:
        threads = [threading.Thread(target=call, args=[client]) for _ in range(4)]
        for thread in threads:
            thread.start()
        yield counts
        over.set()
        for thread in threads:
            thread.join()


def test_connections_of_any_client_spread_evenly(start: Start) -> None:
    """Of 32 plain channels the busier worker has at most 1.3 times those of the other."""
    running = start(*TWO)
    port = int(running.target.rpartition(":")[2])
    options = [("grpc.use_local_subchannel_pool", 1)]
    with contextlib.ExitStack() as opened:
        for _ in range(32):
            channel = opened.enter_context(grpc.insecure_channel(running.target, options))
            health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=20)
        counts = sorted(_connections(pid, port) for pid in running.worker_pids())
    assert sum(counts) == 32
    _, errors = running.end(signal.SIGTERM)
    if "spread=turn" not in errors:
        pytest.skip("the kernel does not let this user deal connections out in turn")
    assert counts[1] <= 1.3 * counts[0]


def test_a_change_through_one_worker_reaches_all(start: Start) -> None:
    """With a poll far too slow for it, each worker answers at the revision that was asked for."""
    running = start(*TWO, "--feed-poll-s", "60")
    with contextlib.ExitStack() as opened:
        clients = [
            opened.enter_context(Client(running.target, timeout_s=20, channels=1)) for _ in range(8)
        ]
        clients[0].create_bank("bank", radius=0)
        for number, writer in enumerate(clients):
            code = bytes([number] * 32)
            added = writer.add_entries("bank", hashes=[code])
            for reader in clients:
                answer = reader.check_hashes([code], minimum_revision=added.revision)
                assert answer.results[0].verdict is Verdict.BLOCK
                assert answer.revision >= added.revision


def test_a_worker_that_dies_is_replaced_and_counted(start: Start) -> None:
    """Its calls go to the other meanwhile, and the log and the command tell of it."""
    running = start(*TWO, "--log-format", "json")
    victim = _roster(running)[1]
    with _load(running.target) as counts:
        os.kill(victim["pid"], signal.SIGKILL)
        _until(lambda: [one["deaths"] for one in _roster(running)] == [0, 1])
        _until(lambda: {one["stage"] for one in _roster(running)} == {"serving"})
        answered = counts["answered"]
        _until(lambda: counts["answered"] > answered + 100)
    assert set(counts) == {"answered"}
    assert victim["pid"] not in running.worker_pids()
    code, errors = running.end(signal.SIGTERM)
    (told,) = (json.loads(line) for line in errors.splitlines() if '"worker died"' in line)
    assert (told["worker"], told["exit_code"], told["deaths"]) == (2, -signal.SIGKILL, 1)
    assert code == 0


def test_workers_end_with_their_supervisor(start: Start) -> None:
    """However it ends: after a SIGKILL none of them is left."""
    running = start(*TWO)
    pids = running.worker_pids()
    assert len(pids) == 2
    running.end(signal.SIGKILL)
    _until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


def test_a_rolling_restart_loses_no_call(start: Start) -> None:
    """Twice, under load: every worker is another process then, and every call was answered."""
    running = start(*TWO)
    with _load(running.target) as counts:
        for _ in range(2):
            before = set(running.worker_pids())
            running.process.send_signal(signal.SIGUSR2)
            _until(lambda before=before: _all_new(running, before))
            answered = counts["answered"]
            _until(lambda answered=answered: counts["answered"] > answered + 100)
    assert set(counts) == {"answered"}
    assert running.end(signal.SIGTERM)[0] == 0


def _all_new(running: Running, before: set[int]) -> bool:
    now = running.worker_pids()
    return len(now) == len(before) and not before & set(now)


def test_a_restart_with_a_dead_successor_is_given_up(start: Start) -> None:
    """The workers that serve go on serving."""
    running = start()
    (old,) = running.worker_pids()
    running.process.send_signal(signal.SIGUSR2)
    _until(lambda: len(running.worker_pids()) == 2)
    (successor,) = set(running.worker_pids()) - {old}
    os.kill(successor, signal.SIGKILL)
    _until(lambda: running.worker_pids() == [old])
    assert _is_serving(running.target)
    code, errors = running.end(signal.SIGTERM)
    assert "restart given up" in errors
    assert code == 0


def test_a_new_server_takes_over_without_losing_a_call(start: Start) -> None:
    """It serves on the same port before the old one drains, which ends with 0."""
    old = start(*TWO)
    with _load(old.target) as counts:
        new = start(*TWO, "--take-over", listen=old.target)
        _, errors = old.process.communicate(timeout=WAIT_S)
        answered = counts["answered"]
        _until(lambda: counts["answered"] > answered + 100)
    assert set(counts) == {"answered"}
    assert old.process.returncode == 0, errors
    _until(lambda: _roster(new))


def test_there_may_be_nothing_to_take_over(start: Start, tmp_path: Path) -> None:
    """Then the server starts as usual, but not where a stranger listens."""
    running = start("--take-over")
    other = [sys.executable, "-m", "imageward_server", "serve", "--take-over"]
    refused = subprocess.run(
        [*other, "--data-dir", str(tmp_path / "other"), "--listen", running.target],
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert refused.returncode == 1
    assert "is another server there?" in refused.stderr


def test_a_second_signal_waits_for_nothing_more(start: Start) -> None:
    """An open stream would hold the drain for a minute; two signals end it, with 0."""
    running = start("--grace-s", "60")
    asked = threading.Event()

    def questions() -> Iterator[HashQuery]:
        yield HashQuery(bytes(32))
        asked.wait(WAIT_S)

    answers = running.client.check_stream(questions())
    assert next(answers).result is not None
    running.process.send_signal(signal.SIGTERM)
    _until(lambda: not _is_serving(running.target))
    assert running.process.poll() is None
    running.process.send_signal(signal.SIGTERM)
    with pytest.raises(ImagewardClientError):
        next(answers)
    asked.set()
    assert running.process.wait(timeout=WAIT_S) == 0


def test_what_balancers_see_of_a_drain(start: Start) -> None:
    """Health says NOT_SERVING while calls are still answered, for as long as `notice_s`."""
    running = start("--notice-s", "60")
    with grpc.insecure_channel(running.target) as channel:
        watched = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert next(watched).status == health_pb2.HealthCheckResponse.SERVING
        running.process.send_signal(signal.SIGINT)
        assert next(watched).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert running.client.check_hashes([bytes(32)]).results[0].verdict is Verdict.ALLOW
        watched.cancel()
    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(timeout=WAIT_S) == 0


def test_an_aged_connection_comes_anew(start: Start) -> None:
    """After `connection_age_s` calls go on over another connection, and none fails."""
    running = start("--connection-age-s", "1")
    port = int(running.target.rpartition(":")[2])
    seen: set[str] = set()

    def another_connection() -> bool:
        running.client.get_stats()
        rows = [row.split() for row in Path("/proc/net/tcp6").read_text().splitlines()[1:]]
        seen.update(row[1] for row in rows if int(row[2].rpartition(":")[2], 16) == port)
        return len(seen) > 8

    _until(another_connection)


def test_a_supervisor_is_light(start: Start) -> None:
    """It holds neither gRPC nor NumPy nor a database, and one thread."""
    running = start()
    maps = Path(f"/proc/{running.process.pid}/maps").read_text()
    heavy = ("grpc", "numpy", "cv2", "faiss", "numba", "sqlalchemy", "sqlite")
    assert [name for name in heavy if name in maps] == []
    status = Path(f"/proc/{running.process.pid}/status").read_text()
    assert "\nThreads:\t1\n" in status


def test_a_port_is_free_again_at_once(start: Start) -> None:
    """A server that ended with connections open can be started again on its port."""
    first = start()
    first.client.get_stats()
    with socket.create_connection(("127.0.0.1", int(first.target.rpartition(":")[2]))):
        assert first.end(signal.SIGTERM)[0] == 0
        assert start(listen=first.target).target == first.target
