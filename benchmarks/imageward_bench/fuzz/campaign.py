"""Many executions in parallel, from a seed; what is found is made small and kept."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from rich.console import Console

from imageward_bench.fuzz.execution import Result, execute
from imageward_bench.fuzz.files import files
from imageward_bench.fuzz.minimise import minimised
from imageward_bench.fuzz.mutations import mutated
from imageward_bench.machine import describe
from imageward_server.cage.cage import Cage
from imageward_server.cage.pool import Pool

REPORT_EVERY_S = 30.0
BANKED_SHARE = 0.1
FINDS_MAX = 50
"""Kept in all: a decoder that falls at every second file needs no more examples."""


@dataclass
class Tally:
    """What came of all executions so far. The lock guards the rest."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    executions: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    formats: Counter[str] = field(default_factory=Counter)
    finds: Counter[str] = field(default_factory=Counter)
    worst_computed_s: float = 0.0
    worst_taken_s: float = 0.0
    slowest_format: str = ""

    def add(self, extension: str, result: Result) -> bool:
        """Count an execution; returns whether its file is worth keeping."""
        with self.lock:
            self.executions += 1
            self.formats[extension] += 1
            self.outcomes[result.outcome] += 1
            if result.computed_s > self.worst_computed_s:
                self.worst_computed_s, self.slowest_format = result.computed_s, extension
            self.worst_taken_s = max(self.worst_taken_s, result.taken_s)
            if result.find:
                self.finds[result.find] += 1
            return bool(result.find) and self.finds.total() <= FINDS_MAX


def run(
    console: Console, runs: int, seed: int, cells: int, finds: Path, report: Path | None
) -> bool:
    """Execute, report now and then, write the report; returns whether nothing was found."""
    tally, begun = Tally(), time.monotonic()
    # As many slow places as cells: nothing is refused for want of one.
    cage = Cage(cells, cells)
    cage.start()
    stopping = threading.Event()
    workers = [
        threading.Thread(target=_work, args=(cage.pool, tally, Random(f"{seed} {n}"), share, finds))
        for n, share in enumerate(_shares(runs, cells))
    ]
    reporter = threading.Thread(
        target=_report_often, args=(console, cage, tally, begun, stopping, report)
    )
    for thread in (*workers, reporter):
        thread.start()
    for thread in workers:
        thread.join()
    stopping.set()
    reporter.join()
    cage.close()
    return not tally.finds


def _shares(runs: int, cells: int) -> list[int]:
    return [runs // cells + (n < runs % cells) for n in range(cells)]


def _work(pool: Pool, tally: Tally, rng: Random, runs: int, folder: Path) -> None:
    by_format = files()
    extensions = list(by_format)
    for _ in range(runs):
        extension = rng.choice(extensions)
        whole = rng.choice(by_format[extension])
        spoiled, banked = mutated(whole, rng, by_format[extension]), rng.random() < BANKED_SHARE
        result = execute(pool, spoiled, banked=banked)
        if tally.add(extension, result):
            small = minimised(
                spoiled,
                lambda tried: execute(pool, tried, banked=banked).find == result.find,  # noqa: B023 called at once
            )
            _keep(folder, extension, result.find, small)


def _keep(folder: Path, extension: str, find: str, data: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    name = hashlib.sha256(data).hexdigest()[:12]
    (folder / f"{find}-{name}{extension}").write_bytes(data)


def _report_often(
    console: Console,
    cage: Cage,
    tally: Tally,
    begun: float,
    stopping: threading.Event,
    report: Path | None,
) -> None:
    while not stopping.wait(REPORT_EVERY_S):
        _report(console, cage, tally, begun, report)
    _report(console, cage, tally, begun, report)


def _report(console: Console, cage: Cage, tally: Tally, begun: float, report: Path | None) -> None:
    with tally.lock:
        figures: dict[str, object] = {
            "executions": tally.executions,
            "elapsed_s": round(time.monotonic() - begun, 1),
            "worst_computed_ms": round(tally.worst_computed_s * 1000, 1),
            "slowest_format": tally.slowest_format,
            "worst_taken_ms": round(tally.worst_taken_s * 1000, 1),
            "worst_memory_mb": round(_memory_bytes_max(cage.pool) / 1e6, 1),
            "finds": dict(tally.finds),
            "outcomes": dict(tally.outcomes.most_common()),
            "formats": dict(tally.formats),
            "retirements": {why.value: count for why, count in cage.retirements.items()},
        }
    console.print_json(data=figures)
    if report is not None:
        report.write_text(json.dumps(figures | {"machine": describe()}, indent=2) + "\n")


def _memory_bytes_max(pool: Pool) -> int:
    """The most that a cell held, of those that were ended and those that wait."""
    return max([pool.memory_bytes_max, *map(_peak_bytes, pool.idle_pids)])


def _peak_bytes(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024
