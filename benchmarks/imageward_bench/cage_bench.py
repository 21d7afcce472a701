"""What the decoder's cage costs, and what a flood of bombs costs those who send none.

1. start: a zygote, and cells forked from it
2. hand-over: a 2 MP JPEG opened in this process and in a cell, in turn; its bytes through
   a pipe and through shared memory, in turn
3. flood: one caller's latency alone and beside senders of bombs, in turn
"""

from __future__ import annotations

import json
import logging
import mmap
import os
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Annotated, Self

import numpy as np
import structlog
import typer
from rich.console import Console

from imageward_bench import photographs
from imageward_bench.hostile import FAMILIES
from imageward_bench.machine import describe
from imageward_bench.report.option import JsonFile
from imageward_index.decode import cv2
from imageward_index.errors import ImagewardError
from imageward_index.picture import open_picture
from imageward_server.app import SWITCH_S
from imageward_server.cage.cage import Cage
from imageward_server.cage.job import Job
from imageward_server.cage.link import make_memory
from imageward_server.cage.protocol import MEMORY_BYTES, Order
from imageward_server.cage.zygote_process import ZygoteProcess

CELLS, SLOW = 4, 2
"""Of a server with four compute threads; the default is two."""

FORKS = 20
WAIT_S_MAX = 60.0
SENDERS = 8
SENDER_PAUSE_S = 0.05
"""Between a sender's bombs: 160 a second if all are refused at once."""

CALLER_PAUSE_S = 0.02
PHASES = 5
BOMBS = (
    "jpeg 64 scans of 9 MP",
    "jpeg 36 MP progressive",
    "jpeg 506 scans",
    "png 40 MP in colour",
    "png 40 MP with alpha",
    "png 100 MP with alpha",
    "png pixels for a larger picture",
    "webp 9 MP lossless",
    "gif 25 MP",
    "gif large canvas, small frame",
    "tiff 25 MP deflated",
    "bmp 98 MP of ends",
)


def cage(
    rounds: Annotated[int, typer.Option(min=3, help="Rounds of each comparison.")] = 200,
    phase_s: Annotated[float, typer.Option(help="Seconds of each phase of the flood.")] = 10.0,
    report: JsonFile = None,
) -> None:
    """Measure start, hand-over and a flood of bombs."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    sys.setswitchinterval(SWITCH_S)  # as in a server
    figures: dict[str, object] = {"start": _start()}
    running = Cage(CELLS, SLOW)
    running.start()
    try:
        figures["hand_over"] = _hand_over(running, rounds)
        figures["flood"] = _flood(running, phase_s)
        figures["retirements"] = {why.value: n for why, n in running.retirements.items()}
        figures["memory_mb_max"] = round(running.pool.memory_bytes_max / 1e6)
    finally:
        running.close()
    figures["machine"] = describe()
    Console().print_json(data=figures)
    if report is not None:
        report.write_text(json.dumps(figures, indent=2) + "\n")


def _start() -> dict[str, float]:
    begun = time.perf_counter()
    zygote = ZygoteProcess()
    started_s = time.perf_counter() - begun
    forks_s = []
    for _ in range(FORKS):
        begun = time.perf_counter()
        link, _held = zygote.fork()
        forks_s.append(time.perf_counter() - begun)
        link.close()
    zygote.close()
    return {"zygote_ms": _ms(started_s), "cell_median_ms": _ms(statistics.median(forks_s))}


def _hand_over(running: Cage, rounds: int) -> dict[str, float]:
    image = _jpeg(1_600, 1_250)

    def open_caged() -> None:
        with running.look(image):
            pass

    here, there = _in_turn(rounds, lambda: open_picture(image), open_caged)
    here_cpu_s, there_cpu_s = _processor_s(running, image, rounds)
    pipe, shared = _in_turn(rounds, *_ways(image))
    return {
        "image_bytes": len(image),
        "in_process_median_ms": _ms(here),
        "caged_median_ms": _ms(there),
        "caged_by_in_process": round(there / here, 3),
        "in_process_processor_ms": _ms(here_cpu_s),
        "caged_processor_ms": _ms(there_cpu_s),
        "caged_by_in_process_processor": round(there_cpu_s / here_cpu_s, 3),
        "pipe_median_ms": _ms(pipe),
        "shared_memory_median_ms": _ms(shared),
    }


def _processor_s(running: Cage, image: bytes, rounds: int) -> tuple[float, float]:
    """Median seconds on a processor, in this process and in this and a cell's together.

    Other work on the machine lengthens these less than the time on the wall.
    """
    here, there = [], []
    for _ in range(rounds):
        begun = time.thread_time()
        open_picture(image)
        here.append(time.thread_time() - begun)
        begun = time.thread_time()
        job = Job(running.pool, image, time.monotonic() + WAIT_S_MAX)
        job.take(Order.TAKE_REDUCED)
        job.ask(Order.OPEN, lambda _: None)
        cell_s = job.computed_s
        job.end()
        there.append(time.thread_time() - begun + cell_s)
    return statistics.median(here), statistics.median(there)


def _jpeg(width: int, height: int) -> bytes:
    """A photograph of this size, with the grain of a camera."""
    small = cv2.imdecode(np.frombuffer(photographs.read("astronaut.png"), np.uint8), 1)
    assert small is not None, "the bundled photographs can be read"
    large = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.int64)
    grain = np.random.default_rng(1).integers(-6, 7, large.shape)
    written, data = cv2.imencode(".jpg", np.clip(large + grain, 0, 255).astype(np.uint8))
    assert written, "OpenCV writes JPEGs"
    return data.tobytes()


def _ways(image: bytes) -> tuple[Callable[[], object], Callable[[], object]]:
    """Two ways to have a copy of some bytes at the other end."""
    reading, writing = os.pipe()
    memory = mmap.mmap(make_memory(), MEMORY_BYTES)

    def by_pipe() -> None:
        sender = threading.Thread(target=_write_all, args=(writing, image))
        sender.start()
        left = len(image)
        while left:
            left -= len(os.read(reading, left))
        sender.join()

    def by_memory() -> None:
        memory[: len(image)] = image
        bytes(memoryview(memory)[: len(image)])
        memory[: len(image)] = bytes(len(image))

    return by_pipe, by_memory


def _write_all(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


def _in_turn(
    rounds: int, one: Callable[[], object], other: Callable[[], object]
) -> tuple[float, float]:
    """Median seconds of two ways, taken in turn so that what else runs hits both."""
    times_s: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for way, taken_s in zip((one, other), times_s, strict=True):
            begun = time.perf_counter()
            way()
            taken_s.append(time.perf_counter() - begun)
    return statistics.median(times_s[0]), statistics.median(times_s[1])


def _flood(running: Cage, phase_s: float) -> dict[str, object]:
    image = _jpeg(1_280, 1_000)
    bombs = {name: FAMILIES[name]() for name in BOMBS}
    alone, beside, ends = [], [], Counter[str]()
    for _ in range(PHASES):
        alone.append(_latencies_s(running, image, phase_s))
        with _Senders(running, bombs) as senders:
            beside.append(_latencies_s(running, image, phase_s))
        ends += senders.ends
    ratios = {
        share: round(
            statistics.median(
                _at(b, share) / _at(a, share) for a, b in zip(alone, beside, strict=True)
            ),
            2,
        )
        for share in (0.5, 0.99)
    }
    quiet, loud = np.concatenate(alone), np.concatenate(beside)
    return {
        "phases": PHASES,
        "calls": [len(quiet), len(loud)],
        "alone_ms": {"p50": _ms(_at(quiet, 0.5)), "p99": _ms(_at(quiet, 0.99))},
        "beside_ms": {"p50": _ms(_at(loud, 0.5)), "p99": _ms(_at(loud, 0.99))},
        "median_ratio_of_phases": {"p50": ratios[0.5], "p99": ratios[0.99]},
        "bombs_per_s": round(ends.total() / (PHASES * phase_s), 1),
        "bombs": dict(ends),
    }


def _latencies_s(running: Cage, image: bytes, phase_s: float) -> np.typing.NDArray[np.float64]:
    """Seconds of each of one caller's calls, over so long."""
    taken_s = []
    end = time.monotonic() + phase_s
    while time.monotonic() < end:
        begun = time.perf_counter()
        with running.look(image) as picture:
            assert picture.whole.quality > 0, "it is an ordinary picture"
            assert len(picture.coarse.regions) > 0, "with regions"
        taken_s.append(time.perf_counter() - begun)
        time.sleep(CALLER_PAUSE_S)
    return np.array(taken_s)


class _Senders:
    """Send bombs from several threads, and count what becomes of them."""

    def __init__(self, running: Cage, bombs: dict[str, bytes]) -> None:
        self._cage, self._bombs = running, list(bombs.values())
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._send, args=(n,)) for n in range(SENDERS)]
        self.ends = Counter[str]()

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _send(self, first: int) -> None:
        number = first
        while not self._stopping.wait(SENDER_PAUSE_S):
            bomb, number = self._bombs[number % len(self._bombs)], number + 1
            try:
                with self._cage.look(bomb) as picture:
                    end = f"decoded, quality {picture.whole.quality}"
            except ImagewardError as error:
                end = type(error).__name__
            self.ends[end] += 1


def _at(taken_s: np.typing.NDArray[np.float64], share: float) -> float:
    return float(np.quantile(taken_s, share))


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
