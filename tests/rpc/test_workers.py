"""Several workers on one port: started, spread over, replaced, restarted, and ended."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from imageward_client import Client, HashQuery, ImagewardClientError, Verdict
from imageward_server.store.engine import FILE_NAME

if TYPE_CHECKING:
    from conftest import Running, Start

WAIT_S = 60.0
PAUSE_S = 0.005
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
    """Call a server from four threads with one shipped client; count answers and failures.

    They leave a processor time for the workers that start meanwhile.
    """
    counts: Counter[str] = Counter()
    over = threading.Event()

    def call(client: Client) -> None:
        while not over.wait(PAUSE_S):
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


def test_connections_of_any_client_spread_evenly(two_workers: Running) -> None:
    """Of 32 plain channels the busier worker has at most 1.3 times those of the other."""
    if '"spread": "turn"' not in two_workers.said():
        pytest.skip("the kernel does not let this user deal connections out in turn")
    port = int(two_workers.target.rpartition(":")[2])
    options = [("grpc.use_local_subchannel_pool", 1)]
    with contextlib.ExitStack() as opened:
        for _ in range(32):
            channel = opened.enter_context(grpc.insecure_channel(two_workers.target, options))
            health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=20)
        counts = sorted(_connections(pid, port) for pid in two_workers.worker_pids())
    assert counts[1] <= 1.3 * counts[0]


def test_one_client_reaches_every_worker(two_workers: Running) -> None:
    """The shipped client's connections are dealt out too; each worker tells its own start."""
    if '"spread": "turn"' not in two_workers.said():
        pytest.skip("the kernel does not let this user deal connections out in turn")
    with Client(two_workers.target, timeout_s=20) as client:
        assert len({client.get_stats().start_time for _ in range(4)}) == 2


def test_a_change_through_one_worker_reaches_all(two_workers: Running) -> None:
    """With a poll far too slow for it, each worker answers at the revision that was asked for."""
    with contextlib.ExitStack() as opened:
        clients = [
            opened.enter_context(Client(two_workers.target, timeout_s=20, channels=1))
            for _ in range(8)
        ]
        clients[0].create_bank("bank", radius=0)
        for number, writer in enumerate(clients):
            code = bytes([number + 1] * 32)
            added = writer.add_entries("bank", hashes=[code])
            for reader in clients:
                answer = reader.check_hashes([code], minimum_revision=added.revision)
                assert answer.results[0].verdict is Verdict.BLOCK
                assert answer.revision >= added.revision


def test_an_aged_connection_comes_anew(two_workers: Running) -> None:
    """After `connection_age_s` calls go on over another connection, and none fails."""
    port = int(two_workers.target.rpartition(":")[2])
    seen: set[str] = set()

    def another_connection() -> bool:
        client.get_stats()
        rows = [row.split() for row in Path("/proc/net/tcp6").read_text().splitlines()[1:]]
        seen.update(
            row[1]
            for row in rows
            if int(row[2].rpartition(":")[2], 16) == port and row[3] == ESTABLISHED
        )
        return len(seen) > 1

    with Client(two_workers.target, timeout_s=20, channels=1) as client:
        _until(another_connection)


def test_the_supervisor_is_light(two_workers: Running) -> None:
    """It holds neither gRPC nor NumPy nor a database, and one thread."""
    process = Path(f"/proc/{two_workers.process.pid}")
    heavy = ("grpc", "numpy", "cv2", "faiss", "numba", "sqlalchemy", "sqlite")
    assert [name for name in heavy if name in (process / "maps").read_text()] == []
    assert "\nThreads:\t1\n" in (process / "status").read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's affinities")
def test_calls_keep_to_a_processor_and_nothing_else_does(start: Start) -> None:
    """With a worker for each processor gRPC's threads have one each; decoding has them all."""
    mine = os.sched_getaffinity(0)
    two = set(sorted(mine)[:2])
    os.sched_setaffinity(0, two)  # which the server inherits
    try:
        running = start("--workers", str(len(two)))
    finally:
        os.sched_setaffinity(0, mine)
    kept_to, started = set[int](), set[int]()
    for pid in running.worker_pids():
        threads = [
            (path.joinpath("comm").read_text().strip(), os.sched_getaffinity(int(path.name)))
            for path in Path(f"/proc/{pid}/task").iterdir()
        ]
        of_grpc = {frozenset(mask) for name, mask in threads if name == "event_engine"}
        (mask,) = of_grpc
        # The watchdog, and the thread that takes calls and starts those that answer them.
        python = Path(f"/proc/{pid}/comm").read_text().strip()
        assert sum(name == python and own == mask for name, own in threads) >= 2
        kept_to |= mask
        assert len(mask) == 1
        assert os.sched_getaffinity(pid) == two  # of the main thread
        for path in Path(f"/proc/{pid}/task").glob("*/children"):
            started |= set(map(int, path.read_text().split()))
    assert kept_to == two
    assert len(started) == len(two)  # a zygote each
    assert [os.sched_getaffinity(pid) for pid in started] == [two] * len(two)


def test_a_worker_that_dies_is_replaced_and_counted(two_workers: Running) -> None:
    """Its calls go to the other meanwhile, and the log and the command tell of it."""
    victim = _roster(two_workers)[1]
    with _load(two_workers.target) as counts:
        os.kill(victim["pid"], signal.SIGKILL)
        _until(lambda: [one["deaths"] for one in _roster(two_workers)] == [0, 1])
        _until(lambda: {one["stage"] for one in _roster(two_workers)} == {"serving"})
        _until_answered_more(counts)
    assert set(counts) == {"answered"}
    assert victim["pid"] not in two_workers.worker_pids()
    lines = two_workers.said().splitlines()
    (told,) = (json.loads(line) for line in lines if '"worker died"' in line)
    assert (told["worker"], told["exit_code"], told["deaths"]) == (2, -signal.SIGKILL, 1)


def test_a_rolling_restart_loses_no_call(two_workers: Running) -> None:
    """Twice, under load: every worker is another process then, and every call was answered."""
    with _load(two_workers.target) as counts:
        for _ in range(2):
            before = set(two_workers.worker_pids())
            two_workers.process.send_signal(signal.SIGUSR2)
            _until(lambda before=before: _all_new(two_workers, before))
            _until_answered_more(counts)
    assert set(counts) == {"answered"}


def test_a_restart_with_a_dead_successor_is_given_up(two_workers: Running) -> None:
    """The workers that serve go on serving."""
    old = set(two_workers.worker_pids())
    two_workers.process.send_signal(signal.SIGUSR2)
    _until(lambda: len(two_workers.worker_pids()) == 3)
    (successor,) = set(two_workers.worker_pids()) - old
    os.kill(successor, signal.SIGKILL)
    _until(lambda: set(two_workers.worker_pids()) == old)
    _until(lambda: "restart given up" in two_workers.said())
    assert _is_serving(two_workers.target)


def _all_new(running: Running, before: set[int]) -> bool:
    now = running.worker_pids()
    return len(now) == len(before) and not before & set(now)


def _until_answered_more(counts: Counter[str]) -> None:
    answered = counts["answered"]
    _until(lambda: counts["answered"] > answered + 100)


def test_a_new_server_takes_over_without_losing_a_call(start: Start) -> None:
    """It serves on the same port before the old one drains, which ends with 0."""
    old = start()
    with _load(old.target) as counts:
        new = start("--take-over", listen=old.target)
        code, errors = old.wait()
        _until_answered_more(counts)
    assert set(counts) == {"answered"}
    assert code == 0, errors
    _until(lambda: _roster(new))
    (pid,) = new.worker_pids()
    new.end(signal.SIGKILL)
    # A worker ends with its supervisor, however that ends.
    _until(lambda: not Path(f"/proc/{pid}").exists())


def test_there_may_be_nothing_to_take_over(start: Start, tmp_path: Path) -> None:
    """Then the server starts as usual, but not where a stranger listens."""
    running = start("--take-over")
    other = [sys.executable, "-m", "imageward_server", "serve", "--insecure", "--take-over"]
    refused = subprocess.run(
        [*other, "--data-dir", str(tmp_path / "other"), "--listen", running.target],
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert refused.returncode == 1
    assert "is another server there?" in refused.stderr


def test_workers_have_two_heaps(two_workers: Running) -> None:
    """More would keep memory that each thread has once needed."""
    for pid in two_workers.worker_pids():
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        assert b"MALLOC_ARENA_MAX=2" in variables


def test_two_signals_end_a_drain_that_has_long_to_wait(start: Start) -> None:
    """Health says NOT_SERVING while `notice_s` lasts, and calls are answered; then all ends."""
    running = start("--notice-s", "60", "--grace-s", "60")
    asked = threading.Event()
    with grpc.insecure_channel(running.target) as channel:
        watched = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert next(watched).status == health_pb2.HealthCheckResponse.SERVING
        answers = running.client.check_stream(_one_question_until(asked))
        assert next(answers).result is not None
        running.process.send_signal(signal.SIGTERM)
        assert next(watched).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert running.client.check_hashes([bytes(32)]).results[0].verdict is Verdict.ALLOW
        watched.cancel()
    running.process.send_signal(signal.SIGTERM)
    with pytest.raises(ImagewardClientError):
        next(answers)
    asked.set()
    assert running.wait()[0] == 0
    # Though connections were open, the port is free again at once.
    assert start(listen=running.target).target == running.target


def test_a_server_whose_workers_cannot_come_up_again_ends(start: Start) -> None:
    """It tries, later each time, and then ends with 1 and the reason."""
    running = start("--log-format", "json")
    (pid,) = running.worker_pids()
    with closing(sqlite3.connect(running.data_dir / FILE_NAME)) as store, store:
        store.execute("UPDATE alembic_version SET version_num = 'v999'")
    os.kill(pid, signal.SIGKILL)
    code, errors = running.wait()
    assert code == 1
    assert "format v999" in errors
    told = [json.loads(line) for line in errors.splitlines() if '"worker died"' in line]
    assert [one["replaced_in_s"] for one in told] == [0.1, 0.2, 0.4, 0.8]


def _one_question_until(asked: threading.Event) -> Iterator[HashQuery]:
    yield HashQuery(bytes(32))
    asked.wait(WAIT_S)
