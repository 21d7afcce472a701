"""What a server used, as its metrics tell it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

from imageward_bench.echo_server import echo_server
from imageward_bench.load.driver import Step
from imageward_bench.load.figures import Figures
from imageward_bench.load.measure import measure
from imageward_bench.load.mix import Mix, Part
from imageward_bench.load.processes import Generators, Setup
from imageward_bench.load.requests import make_workload
from imageward_bench.load.server_metrics import CPU, MEMORY, WorkersUse, scrape, use_of
from imageward_server.sight import catalogue

SEED = 3
WORKERS = ("1", "2")
NO_CODES = np.empty((0, 32), np.uint8)


@pytest.fixture
def metrics_url() -> Iterator[str]:
    """Show the metrics of two workers, of a second and a megabyte each."""
    registry = CollectorRegistry()
    cpu = Counter(CPU, "seconds", ("worker",), registry=registry)
    memory = Gauge(MEMORY, "bytes", ("worker",), registry=registry)
    for worker in WORKERS:
        cpu.labels(worker).inc(1)
        memory.labels(worker).set(1e6)
    server, thread = start_http_server(0, "127.0.0.1", registry)
    yield f"http://127.0.0.1:{server.server_port}/metrics"
    server.shutdown()
    server.server_close()
    thread.join()


def _measured(metrics_url: str) -> Figures:
    mix = Mix(call=(Part(kind="echo"),))
    with echo_server(1) as (target, pid):
        setup = Setup(target, make_workload(mix, NO_CODES, SEED))
        with Generators(setup) as generators:
            step = Step(0.3, 5.0, rate_per_s=20.0, seed=SEED)
            return measure(generators, step, 0.1, (1,), pid, metrics_url).figures


def test_names_are_those_of_the_server() -> None:
    """What is looked for is what the server's catalogue holds."""
    assert (catalogue.CPU.name, catalogue.MEMORY.name) == (CPU, MEMORY)


def test_workers_are_summed(metrics_url: str) -> None:
    """Processor time and memory are those of all workers together."""
    assert WorkersUse(cpu_s=2.0, memory_bytes=2e6, workers=2) == scrape(metrics_url)


def test_metrics_of_something_else_are_refused() -> None:
    """An exposition without workers is no server that used nothing."""
    with pytest.raises(RuntimeError, match="address of an imageward server"):
        use_of("# TYPE up gauge\nup 1\n")


def test_a_load_takes_the_metrics_word(metrics_url: str) -> None:
    """Where metrics are given they tell, though the process is on this machine."""
    server = _measured(metrics_url).server
    assert (server.cpu_cores, server.memory_bytes, server.processes) == (0.0, 2e6, 2)
    assert server.own_bytes is None


def test_metrics_that_cannot_be_read_end_the_load() -> None:
    """A load whose server's use was asked for and not found has no figures."""
    with pytest.raises(OSError, match="refused"):
        _measured("http://127.0.0.1:1/metrics")
