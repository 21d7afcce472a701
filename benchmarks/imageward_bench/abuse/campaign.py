"""What good callers notice while somebody misbehaves, kind by kind.

1. a server on one core, callers and abuser on the other
2. a good caller checks images in an open loop, alone
3. the same with an abuser beside it: how much slower, how much memory, how often cut off
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from imageward_bench.abuse.kinds import KINDS
from imageward_bench.machine import describe
from imageward_bench.open_loop import Load
from imageward_bench.overload_upload import upload
from imageward_bench.process_tree import look
from imageward_bench.server_process import ServerProcess

GOOD_CALLER = "127.0.0.2"
GOOD_CALLS_PER_S = 20.0
LOOK_EVERY_S = 0.25
SERVER_CORE, OTHER_CORE = 0, 1
SLOWER_MAX = 2.0
GREW_BYTES_MAX = 256_000_000


@dataclass(frozen=True)
class Outcome:
    """What one kind of abuse did: times of good calls, the server's processor and memory."""

    kind: str
    failed: int
    p50_ms_alone: float
    p50_ms: float
    p99_ms_alone: float
    p99_ms: float
    cpu_s_alone: float
    cpu_s: float
    grew_bytes: int
    bursts: int
    cuts: int

    @property
    def p50_ratio(self) -> float:
        """How much slower the median call was."""
        return self.p50_ms / self.p50_ms_alone

    @property
    def p99_ratio(self) -> float:
        """How much slower the 99th of a hundred calls was."""
        return self.p99_ms / self.p99_ms_alone


def run(console: Console, kinds: list[str], seconds: float, seed: int, report: Path | None) -> bool:
    """Measure, print a table, write the figures; return whether all is within bounds."""
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="imageward-abuse-") as name:
        for kind in kinds or list(KINDS):
            with ServerProcess(Path(name) / "data", processor=SERVER_CORE) as server:
                os.sched_setaffinity(0, {OTHER_CORE})
                outcomes.append(_measure(server, kind, seconds, seed))
            console.print(asdict(outcomes[-1]))
    console.print(_table(outcomes))
    if report is not None:
        figures = {"seed": seed, "seconds": seconds, "machine": describe()}
        figures["outcomes"] = [asdict(one) for one in outcomes]
        report.write_text(json.dumps(figures, indent=2) + "\n")
    return all(_is_bounded(one) for one in outcomes)


def _is_bounded(one: Outcome) -> bool:
    slower = max(one.p50_ratio, one.p99_ratio)
    return slower <= SLOWER_MAX and one.grew_bytes <= GREW_BYTES_MAX and not one.failed


def _measure(server: ServerProcess, kind: str, seconds: float, seed: int) -> Outcome:
    _good_calls(server.port, 2.0, seed)  # warms the server up
    begun = look(server.pid)
    alone = _good_calls(server.port, seconds, seed)
    before = look(server.pid)
    command = [sys.executable, "-m", "imageward_bench.abuse.abuser", kind, str(server.port)]
    abuser = subprocess.Popen([*command, str(seconds + 1)], stdout=subprocess.PIPE, text=True)
    with _peak(server.pid) as peak:
        time.sleep(1)
        during = look(server.pid)
        beside = _good_calls(server.port, seconds, seed)
        after = look(server.pid)
    deeds = json.loads(abuser.communicate()[0])
    return Outcome(
        kind,
        failed=sum(status != 0 for _, status in beside),
        p50_ms_alone=_quantile_ms(alone, 50),
        p50_ms=_quantile_ms(beside, 50),
        p99_ms_alone=_quantile_ms(alone, 99),
        p99_ms=_quantile_ms(beside, 99),
        cpu_s_alone=round(before.cpu_since(begun), 2),
        cpu_s=round(after.cpu_since(during), 2),
        grew_bytes=peak[0] - before.own_bytes,
        bursts=deeds["bursts"],
        cuts=deeds["cuts"],
    )


def _good_calls(port: int, seconds: float, seed: int) -> list[tuple[float, int]]:
    """Check images; return each call's ms and status."""
    with tempfile.NamedTemporaryFile() as body:
        body.write(upload())
        body.flush()
        path = "/imageward.v1.MatchService/CheckImage"
        load = Load(port, path, body.name, seconds, {GOOD_CALLER: GOOD_CALLS_PER_S}, 4, seed=seed)
        command = [sys.executable, "-m", "imageward_bench.open_loop"]
        sent = subprocess.run(
            command, input=json.dumps(asdict(load)), stdout=subprocess.PIPE, text=True, check=True
        )
    return [(took * 1e3, status) for _, _, took, status in json.loads(sent.stdout)["samples"]]


def _quantile_ms(calls: list[tuple[float, int]], percent: int) -> float:
    times = [ms for ms, _ in calls]
    return round(statistics.quantiles(times, n=100, method="inclusive")[percent - 1], 2)


@contextmanager
def _peak(pid: int) -> Iterator[list[int]]:
    """Watch a process's memory; the one item is the most it had."""
    peak, done = [0], threading.Event()

    def watch() -> None:
        while not done.wait(LOOK_EVERY_S):
            peak[0] = max(peak[0], look(pid).own_bytes)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield peak
    finally:
        done.set()
        watching.join()


def _table(outcomes: list[Outcome]) -> Table:
    table = Table(
        "kind",
        "failed",
        "p50 ms",
        "p50 x",
        "p99 ms",
        "p99 x",
        "cpu s",
        "cpu x",
        "grew MB",
        "bursts",
        "cut",
    )
    for one in outcomes:
        table.add_row(
            one.kind,
            str(one.failed),
            f"{one.p50_ms:.1f}",
            f"{one.p50_ratio:.2f}",
            f"{one.p99_ms:.1f}",
            f"{one.p99_ratio:.2f}",
            f"{one.cpu_s:.1f}",
            f"{one.cpu_s / one.cpu_s_alone:.2f}",
            f"{one.grew_bytes / 1e6:.0f}",
            str(one.bursts),
            str(one.cuts),
        )
    return table
