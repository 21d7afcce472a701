"""Sends calls at times that were drawn beforehand, whatever becomes of those before them.

A process of its own: `python -m imageward_bench.open_loop`, a Load as JSON on stdin, its
samples as JSON on stdout. Arrivals are a Poisson process, so bursts are as in nature.
"""

from __future__ import annotations

import heapq
import json
import os
import random
import selectors
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from imageward_bench.grpc_wire import Connection, message, request_headers
from imageward_server.calls.transport import STREAMS_PER_CONNECTION_MAX

# A call beyond what the server lets a connection have open is not sent, and counted as lost.
CALLS_PER_CONNECTION_MAX = STREAMS_PER_CONNECTION_MAX
DRAIN_S_MAX = 10.0
NOT_SENT = -2


@dataclass(frozen=True)
class Load:
    """What is sent.

    Attributes:
        port: of the server, on loopback.
        path: full name of the method.
        body: file that holds the message.
        seconds: how long.
        rates: calls a second of each caller, by the address that it comes from.
        connections: of each caller.
        concurrency: instead of rates: so many calls open at any time.
        timeout: of each call, as gRPC writes it.
        seed: of the arrival times.
        spins: whether the sender never sleeps. For one with a processor to itself: waking it
            interrupts another processor, which is counted as the server's time, and takes a
            virtual machine longer than a refusal.
    """

    port: int
    path: str
    body: str
    seconds: float
    rates: dict[str, float]
    connections: int = 16
    concurrency: int = 0
    timeout: str = "2S"
    seed: int = 1
    spins: bool = False


@dataclass
class Sample:
    """One call: who made it, when it was due, how long it took, gRPC's status."""

    caller: str
    due_s: float
    took_s: float
    status: int


class Sender:
    """Keeps the connections of one load, and what was answered on them."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._headers = request_headers(load.path, load.timeout)
        self._body = message(Path(load.body).read_bytes())
        self._selector = selectors.DefaultSelector()
        self._open: dict[tuple[int, int], tuple[str, float]] = {}
        self._connections: dict[str, list[Connection]] = {}
        for caller in load.rates:
            made = [Connection(("127.0.0.1", load.port), caller) for _ in range(load.connections)]
            self._connections[caller] = made
            for one in made:
                self._selector.register(one.socket, selectors.EVENT_READ, one)
        self.samples: list[Sample] = []
        self._begun = time.perf_counter()

    def run(self) -> None:
        """Send everything, and wait a while for the last answers."""
        if self._load.concurrency:
            self._run_closed()
            return
        for due, caller in self._arrivals():
            while (left := self._begun + due - time.perf_counter()) > 0:
                self._wait(left)
            self._send(caller, due)
        self._drain()

    def _run_closed(self) -> None:
        (caller,) = self._load.rates
        while (now := time.perf_counter() - self._begun) < self._load.seconds:
            while len(self._open) < self._load.concurrency:
                self._send(caller, now)
            self._wait(0.1)
        self._drain()

    def _arrivals(self) -> Iterator[tuple[float, str]]:
        streams = [
            _poisson(caller, rate, self._load) for caller, rate in self._load.rates.items() if rate
        ]
        return heapq.merge(*streams)

    def _send(self, caller: str, due: float) -> None:
        connections = self._connections[caller]
        connection = min(connections, key=lambda one: one.open_calls)
        if connection.open_calls >= CALLS_PER_CONNECTION_MAX:
            self.samples.append(Sample(caller, due, 0.0, NOT_SENT))
            return
        stream = connection.call(self._headers, self._body)
        self._open[id(connection), stream] = (caller, due)

    def _wait(self, seconds: float) -> None:
        for key, _ in self._selector.select(0 if self._load.spins else seconds):
            connection: Connection = key.data
            for stream, status in connection.answers():
                caller, due = self._open.pop((id(connection), stream))
                took = time.perf_counter() - self._begun - due
                self.samples.append(Sample(caller, due, took, status))
        for connections in self._connections.values():
            for connection in connections:
                if connection.wants_to_send:
                    connection.flush()

    def _drain(self) -> None:
        end = time.perf_counter() + DRAIN_S_MAX
        while self._open and time.perf_counter() < end:
            self._wait(0.1)
        for caller, due in self._open.values():
            self.samples.append(Sample(caller, due, DRAIN_S_MAX, NOT_SENT))


def _poisson(caller: str, rate: float, load: Load) -> Iterator[tuple[float, str]]:
    draw = random.Random(f"{load.seed} {caller}")
    due = draw.expovariate(rate)
    while due < load.seconds:
        yield due, caller
        due += draw.expovariate(rate)


def main() -> None:
    """Read a load, send it, write the samples and the processor time that it took."""
    sender = Sender(Load(**json.load(sys.stdin)))
    sender.run()
    used = os.times()
    samples = [list(asdict(one).values()) for one in sender.samples]
    json.dump({"samples": samples, "cpu_s": used.user + used.system}, sys.stdout)


if __name__ == "__main__":
    main()
