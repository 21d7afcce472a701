"""Generator processes: spawned, never forked, each with its own connections."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from types import TracebackType
from typing import Self

from imageward_bench.load.driver import Driver, Step
from imageward_bench.load.requests import Workload
from imageward_bench.load.samples import Samples, joined
from imageward_bench.load.schedule import Share

# All processes start a step together, this long after the last is ready.
LEAD_S = 0.1
STOP_S_MAX = 10.0


class GeneratorFailed(Exception):
    """A generator process could not do its part; the message says why."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What generators are made with.

    Attributes:
        target: host and port of the server.
        workload: what is sent.
        processes: how many generate.
        connections: of all processes together; each process has at least one.
        metadata: headers of every call.
    """

    target: str
    workload: Workload
    processes: int = 1
    connections: int = 8
    metadata: tuple[tuple[str, str], ...] = ()


class Generators:
    """Processes that generate load together, step by step.

    Args:
        setup: what they are made with.
    """

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._running: list[tuple[multiprocessing.process.BaseProcess, Pipe]] = []

    def __enter__(self) -> Self:
        context = multiprocessing.get_context("spawn")
        for number in range(self._setup.processes):
            ours, theirs = context.Pipe()
            process = context.Process(
                target=_generate,
                args=(self._setup, Share(number, self._setup.processes), theirs),
                daemon=True,
            )
            process.start()
            theirs.close()
            self._running.append((process, ours))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for _, pipe in self._running:
            pipe.close()
        for process, _ in self._running:
            process.join(STOP_S_MAX)
            if process.is_alive():
                process.kill()
                process.join()

    def run(self, step: Step, started: Callable[[], None]) -> Samples:
        """Run a step on all processes at once.

        Args:
            step: what they generate.
            started: called as soon as the step's start, LEAD_S later, is fixed.

        Raises:
            GeneratorFailed: one could not connect, or broke.
        """
        for _, pipe in self._running:
            pipe.send(step)
        for _, pipe in self._running:
            _expect(pipe)
        start_ns = time.monotonic_ns() + int(LEAD_S * 1e9)
        for _, pipe in self._running:
            pipe.send(start_ns)
        started()
        return joined([_expect(pipe) for _, pipe in self._running])


def _expect(pipe: Pipe) -> Samples:
    try:
        told = pipe.recv()
    except EOFError:
        raise GeneratorFailed("a generator process ended; what it said is on stderr") from None
    if isinstance(told, str):
        raise GeneratorFailed(told)
    samples: Samples = told
    return samples


def _generate(setup: Setup, share: Share, pipe: Pipe) -> None:
    """Do what the parent asks until it closes its end."""
    connections = max(1, setup.connections // setup.processes)
    driver = Driver(setup.target, connections, setup.workload, setup.metadata, share)
    try:
        while True:
            step: Step = pipe.recv()
            try:
                driver.connect(step.deadline_s)
            except OSError as error:
                pipe.send(f"{setup.target} cannot be reached: {error}")
                continue
            pipe.send(None)
            pipe.send(driver.run(step, pipe.recv()))
    except EOFError:
        driver.close()
