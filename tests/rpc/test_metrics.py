"""The endpoint of a server of several processes: right, and right after some were killed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families

from imageward_client import Client, HashQuery, ImagewardClientError, UndecodableImage

if TYPE_CHECKING:
    from conftest import Running, Start

WAIT_S = 60.0

Scraped = dict[tuple[str, frozenset[tuple[str, str]]], float]


def _until(holds: Callable[[], Any]) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline, "it did not come about"
        select.select([], [], [], 0.02)


def _port(running: Running) -> int:
    """Read from the log where metrics are shown."""
    found = re.search(r'"port": (\d+), "event": "metrics shown"', running.said())
    assert found
    return int(found[1])


def scrape(port: int) -> Scraped:
    """Read the endpoint as Prometheus does."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=WAIT_S) as answer:
        text = answer.read().decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def _sum(scraped: Scraped, name: str, **labels: str) -> float:
    """Add up the series of a metric that have these labels."""
    wanted = set(labels.items())
    return sum(value for (one, told), value in scraped.items() if one == name and wanted <= told)


def test_calls_are_counted_by_method_and_status(shown: Running, astronaut: bytes) -> None:
    """Over all workers: as many as were sent, each with its status, its time and its messages."""
    port = _port(shown)
    before = scrape(port)
    with Client(shown.target, timeout_s=WAIT_S) as client:
        client.create_bank("counted")
        client.add_entries("counted", images=[astronaut])
        for _ in range(10):
            client.check_hashes([bytes(32)] * 3)
        client.check_image(astronaut)
        with pytest.raises(UndecodableImage):
            client.check_image(astronaut[:5000])
        list(client.check_stream(HashQuery(bytes(32)) for _ in range(7)))
    with grpc.insecure_channel(shown.target) as channel, pytest.raises(grpc.RpcError):
        channel.unary_unary("/no.Service/Method")(b"", timeout=WAIT_S)
    _until(lambda: _grown(before, scrape(port), grpc_method="CheckStream") == 1)
    after = scrape(port)
    for method, code, count in (
        ("CheckHashes", "OK", 10),
        ("CheckImage", "OK", 1),
        ("CheckImage", "InvalidArgument", 1),
        ("AddEntries", "OK", 1),
        ("unknown", "Unimplemented", 1),
    ):
        assert _grown(before, after, grpc_method=method, grpc_code=code) == count

    def more(name: str, **labels: str) -> float:
        return _sum(after, name, **labels) - _sum(before, name, **labels)

    timed = _sum(after, "grpc_server_handling_seconds_count", grpc_method="CheckHashes")
    assert timed == _sum(after, "grpc_server_handled_total", grpc_method="CheckHashes")
    for name in ("grpc_server_msg_received_total", "grpc_server_msg_sent_total"):
        assert more(name, grpc_method="CheckStream") == 7
    assert more("imageward_checks_total", verdict="ALLOW", completeness="HASH_ONLY") == 37
    assert more("imageward_checks_total", verdict="BLOCK", found_by="whole") == 1
    rejected = {"UNDECODABLE_IMAGE": 1.0, "UNSUPPORTED_FORMAT": 0.0, "IMAGE_TOO_LARGE": 0.0}
    for reason, count in rejected.items():
        assert more("imageward_decode_rejections_total", reason=reason) == count


def _grown(before: Scraped, after: Scraped, **labels: str) -> float:
    name = "grpc_server_handled_total"
    return _sum(after, name, **labels) - _sum(before, name, **labels)


def test_how_a_worker_stands_is_shown(shown: Running) -> None:
    """Its revision, its index, its lag behind the store, its memory; and the supervisor's own."""
    port = _port(shown)
    with Client(shown.target, timeout_s=WAIT_S) as client:
        client.create_bank("standing")
        revision = client.add_entries("standing", hashes=[bytes([9]) * 32]).revision
    for worker in ("1", "2"):
        _until(lambda one=worker: _sum(scrape(port), "imageward_revision", worker=one) == revision)
    found = scrape(port)
    for worker in ("1", "2"):
        assert _sum(found, "imageward_index_codes", worker=worker, index="hashes") >= 1
        assert _sum(found, "imageward_index_tail_codes", worker=worker, index="hashes") >= 1
        assert 0 <= _sum(found, "imageward_feed_lag_seconds", worker=worker) < WAIT_S
        assert _sum(found, "imageward_worker_resident_bytes", worker=worker) > 1e7
    assert _sum(found, "imageward_workers", stage="serving") == 2
    assert _sum(found, "imageward_build_info") == 1


def test_counters_never_go_backwards_when_workers_are_killed(shown: Running) -> None:
    """Under load and scraped all the time, `kill -9` of each worker loses no count."""
    port = _port(shown)
    seen: list[Scraped] = [scrape(port)]
    over = threading.Event()
    answered = [0]

    def call() -> None:
        with Client(shown.target, timeout_s=WAIT_S) as client:
            while not over.is_set():
                with contextlib.suppress(ImagewardClientError):
                    client.check_hashes([bytes(32)])
                    answered[0] += 1

    def watch() -> None:
        while not over.is_set():
            seen.append(scrape(port))

    threads = [threading.Thread(target=one) for one in (call, watch)]
    for thread in threads:
        thread.start()
    for deaths, victim in enumerate(shown.worker_pids()[:2], start=1):
        begun = answered[0]
        _until(lambda begun=begun: answered[0] > begun + 50)
        os.kill(victim, signal.SIGKILL)
        _until(lambda n=deaths: _sum(scrape(port), "imageward_worker_deaths_total") == n)
        _until(lambda: _sum(scrape(port), "imageward_workers", stage="serving") == 2)
    over.set()
    for thread in threads:
        thread.join()
    seen.append(scrape(port))
    backwards = [
        name
        for before, after in pairwise(seen)
        for (name, labels), value in before.items()
        if name.endswith(("_total", "_count", "_bucket", "_sum"))
        and after.get((name, labels), -1.0) < value
    ]
    assert backwards == []
    labels = {"grpc_method": "CheckHashes", "grpc_code": "OK"}
    assert _grown(seen[0], seen[-1], **labels) >= answered[0]
    assert len(seen) > 10


def test_the_endpoint_keeps_its_patience(shown: Running) -> None:
    """Whoever connects and says nothing is cut off, and holds nobody up for long."""
    port = _port(shown)
    with socket.create_connection(("127.0.0.1", port)) as silent:
        assert scrape(port)
        silent.settimeout(WAIT_S)
        assert silent.recv(1) == b""
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/secrets", timeout=WAIT_S)
    assert refused.value.code == 404
    refused.value.close()


def test_the_supervisor_stays_light(shown: Running) -> None:
    """Showing metrics brings neither gRPC nor NumPy nor a database into it."""
    process = Path(f"/proc/{shown.process.pid}")
    heavy = ("grpc", "numpy", "cv2", "faiss", "numba", "sqlalchemy", "sqlite")
    assert [name for name in heavy if name in (process / "maps").read_text()] == []


def test_a_port_that_is_taken_is_told_at_the_start(tmp_path: Path) -> None:
    """The start ends with a message, and with 1."""
    import subprocess
    import sys

    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        command = [sys.executable, "-m", "imageward_server", "serve", "--insecure"]
        command += ["--listen", "127.0.0.1:0"]
        ended = subprocess.run(
            [*command, "--data-dir", str(tmp_path / "data"), "--metrics-listen", listen],
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=False,
        )
    assert ended.returncode == 1
    assert f"cannot show metrics on {listen}" in ended.stderr


def test_a_server_that_takes_over_shows_metrics_in_its_place(start: Start) -> None:
    """On the same port, once the server before has given it up."""
    first = start("--log-format", "json", "--metrics-listen", "127.0.0.1:0")
    port = _port(first)
    flags = ("--take-over", "--log-format", "json", "--metrics-listen", f"127.0.0.1:{port}")
    second = start(*flags, listen=first.target)
    first.wait()
    _until(lambda: "metrics shown" in second.said())
    assert _port(second) == port
    assert _sum(scrape(port), "imageward_workers", stage="serving") == 1
    told = [json.loads(line) for line in second.said().splitlines() if line.startswith("{")]
    assert [one["level"] for one in told if one["level"] == "error"] == []
