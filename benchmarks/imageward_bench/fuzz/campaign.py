"""Many executions in parallel, from a seed; what is found is made small and kept."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from rich.console import Console

from imageward_bench.fuzz.batch import PROGRAM, Batch, Done, run_batch
from imageward_bench.fuzz.execution import execute
from imageward_bench.fuzz.files import files
from imageward_bench.fuzz.minimise import minimised
from imageward_bench.fuzz.numbered import Numbered
from imageward_bench.machine import describe
from imageward_server.cage.cage import Cage
from imageward_server.cage.pool import Pool
from imageward_server.cage.zygote_process import ZygoteProcess

REPORT_EVERY_S = 30.0
BATCH_FILES = 1_000
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
    worst_s: float = 0.0
    worst_number: int = 0

    def add(self, done: Done) -> list[tuple[int, str]]:
        """Count a batch; returns its finds that are worth keeping."""
        with self.lock:
            self.executions += done.executions
            self.formats.update(done.formats)
            self.outcomes.update(done.outcomes)
            if done.worst_s > self.worst_s:
                self.worst_s, self.worst_number = done.worst_s, done.worst_number
            room = max(FINDS_MAX - self.finds.total(), 0)
            self.finds.update(find for _, find in done.finds)
            return done.finds[:room]


class Keeper:
    """Makes what was found small in the server's own cells, and keeps it.

    Args:
        pool: of cells that take one file at a time.
        made: all files.
        folder: where finds go.
    """

    def __init__(self, pool: Pool, made: Numbered, folder: Path) -> None:
        self._pool = pool
        self._made = made
        self._folder = folder

    def keep(self, number: int, find: str) -> None:
        """Keep one; as it is, if it does nothing by itself."""
        extension, data, banked = self._made[number]
        alone = execute(self._pool, data, banked=banked).find
        if alone:
            data = minimised(
                data, lambda tried: execute(self._pool, tried, banked=banked).find == alone
            )
        _keep(self._folder, extension, alone or find, data)


def run(
    console: Console, runs: int, seed: int, cells: int, finds: Path, report: Path | None
) -> bool:
    """Execute, report now and then, write the report; returns whether all ran well."""
    tally, begun = Tally(), time.monotonic()
    cage = Cage(cells, cells, partial(ZygoteProcess, PROGRAM))
    single = Cage(cells=1, slow=1)
    cage.start()
    single.start()
    made = Numbered(seed, files())
    keeper = Keeper(single.pool, made, finds)
    stopping = threading.Event()
    workers = [
        threading.Thread(target=_work, args=(cage.pool, made, tally, batches, keeper))
        for batches in shares(runs, cells)
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
    single.close()
    # A thread that broke has said so on stderr; what it left out was not run.
    return tally.executions == runs and not tally.finds


def shares(runs: int, cells: int) -> list[list[Batch]]:
    """Deal the files out: each number is run once, whatever the number of cells."""
    firsts = range(0, runs, BATCH_FILES)
    batches = [Batch(first, min(first + BATCH_FILES, runs)) for first in firsts]
    return [batches[cell::cells] for cell in range(cells)]


def _work(pool: Pool, made: Numbered, tally: Tally, batches: list[Batch], keeper: Keeper) -> None:
    for batch in batches:
        for done in all_of(pool, made, batch):
            for number, find in tally.add(done):
                keeper.keep(number, find)


def all_of(pool: Pool, made: Numbered, batch: Batch) -> Iterator[Done]:
    """Run a batch to its end, with another cell after each file that ended one."""
    first = batch.first
    while first < batch.end:
        done = run_batch(pool, made, Batch(first, batch.end))
        first += done.executions
        yield done


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
            "executions_per_s": round(tally.executions / (time.monotonic() - begun), 1),
            "worst_computed_ms": round(tally.worst_s * 1000, 1),
            "worst_number": tally.worst_number,
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
