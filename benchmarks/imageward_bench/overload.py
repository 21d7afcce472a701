"""What a server answers when it is asked for more than it can: goodput, waits, refusals.

Server on one core, sender spinning on the other, image checks in an open loop. In rounds,
so that a machine that others use too changes all figures of a round alike; medians over the
rounds:

1. peak: answered a second in a closed loop
2. open loops at 0.7, 1, 3 and 10 times that: answered, refused, how long each took
3. one caller at 20 times its quarter beside three at 0.7 of theirs
and once, at the end: a minute at 10 times, and how soon 0.7 times is served as before
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
from rich.console import Console
from rich.progress import track
from rich.table import Table

from imageward_bench.machine import describe
from imageward_bench.open_loop import Load, Sample
from imageward_bench.overload_upload import upload
from imageward_bench.process_tree import look, machine_time
from imageward_bench.server_process import ServerProcess

CHECK_IMAGE = "/imageward.v1.MatchService/CheckImage"
OFFERED = (0.7, 1.0, 3.0, 10.0)
PEAK_CONCURRENCY = 8
OK, EXHAUSTED = 0, 8
CALLERS = tuple(f"127.0.0.{number}" for number in range(10, 14))
GREEDY, SHARE, GREEDY_SHARES = CALLERS[0], 0.7, 20.0
SERVER_CORE, SENDER_CORE = 0, 1


@dataclass(frozen=True)
class Run:
    """What became of one load.

    Attributes:
        samples: the calls.
        seconds: that the hypervisor let the server's processor run, of those it lasted: what
            it takes away differs from run to run, and is not the server's doing.
        server_cpu_s: processor time that the server used.
    """

    samples: list[Sample]
    seconds: float
    server_cpu_s: float

    def rate(self, status: int, callers: Iterable[str] = ()) -> float:
        """Calls a second that ended so, of some callers or all."""
        return len(self._took_ms(status, callers)) / self.seconds

    def answered_share(self, callers: Iterable[str]) -> float:
        """Share of the calls of some callers that was answered OK.

        Two loads at the same rates send numbers of calls that differ by chance.
        """
        wanted = set(callers)
        statuses = [one.status for one in self.samples if one.caller in wanted]
        return statuses.count(OK) / max(len(statuses), 1)

    def took_ms(self, status: int, percent: int, callers: Iterable[str] = ()) -> float:
        """A percentile of how long they took; 0 without any."""
        times = self._took_ms(status, callers)
        if len(times) < 2:  # noqa: PLR2004 - a quantile needs two
            return max(times, default=0.0)
        return statistics.quantiles(times, n=100, method="inclusive")[percent - 1]

    def _took_ms(self, status: int, callers: Iterable[str]) -> list[float]:
        wanted = set(callers)
        return [
            one.took_s * 1e3
            for one in self.samples
            if one.status == status and (not wanted or one.caller in wanted)
        ]


class Bench:
    """A server, and the loads that are sent to it."""

    def __init__(self, server: ServerProcess, body: Path, seconds: float, seed: int) -> None:
        self._server = server
        self._body = body
        self._seconds = seconds
        self._seed = seed

    def peak(self) -> Run:
        """Keep a few calls open at any time."""
        return self._send({CALLERS[0]: 1.0}, concurrency=PEAK_CONCURRENCY)

    def offer(self, rates: dict[str, float], seconds: float = 0.0) -> Run:
        """Send calls at times of their own."""
        return self._send(rates, seconds=seconds)

    def _send(self, rates: dict[str, float], seconds: float = 0.0, concurrency: int = 0) -> Run:
        self._seed += 1
        load = Load(
            self._server.port,
            CHECK_IMAGE,
            str(self._body),
            seconds or self._seconds,
            rates,
            concurrency=concurrency,
            seed=self._seed,
            spins=True,
        )
        command = [sys.executable, "-m", "imageward_bench.open_loop"]
        before, machine = look(self._server.pid), machine_time(SERVER_CORE)
        begun = time.monotonic()
        sent = subprocess.run(
            command, input=json.dumps(asdict(load)), stdout=subprocess.PIPE, text=True, check=True
        )
        samples = [Sample(*one) for one in json.loads(sent.stdout)["samples"]]
        used_s = look(self._server.pid).cpu_since(before)
        stolen = machine_time(SERVER_CORE).cores_since(machine, time.monotonic() - begun).stolen_s
        return Run(samples, load.seconds * (1 - stolen), used_s)


def run(
    console: Console, rounds: int, seconds: float, again_s: float, seed: int, folder: Path
) -> None:
    """Measure, print a table, write figures and plot into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="imageward-overload-") as name:
        body = Path(name) / "upload"
        body.write_bytes(upload())
        with ServerProcess(Path(name) / "data", processor=SERVER_CORE) as server:
            os.sched_setaffinity(0, {SENDER_CORE})
            bench = Bench(server, body, seconds, seed)
            bench.peak()  # warms the server up
            found = [_round(bench) for _ in track(range(rounds), "rounds", console=console)]
            recovery = _recovery(bench, statistics.median(one["peak"] for one in found), again_s)
    figures = {name: statistics.median(one[name] for one in found) for name in found[0]}
    figures |= recovery
    console.print(_table(figures))
    told = {"seed": seed, "rounds": rounds, "seconds": seconds, "machine": describe()}
    (folder / "overload.json").write_text(
        json.dumps(told | {"medians": figures, "rounds_found": found}, indent=2) + "\n"
    )
    _plot(found, folder / "overload.png")


def _round(bench: Bench) -> dict[str, float]:
    peak_run = bench.peak()
    peak = peak_run.rate(OK)
    found = {"peak": peak, "peak_cpu_ms": peak_run.server_cpu_s / peak_run.seconds / peak * 1e3}
    for times in OFFERED:
        one = bench.offer({CALLERS[0]: peak * times})
        found[f"goodput_{times:g}"] = one.rate(OK) / peak
        found[f"p99_ms_{times:g}"] = one.took_ms(OK, 99)
        found[f"refused_{times:g}"] = one.rate(EXHAUSTED)
        found[f"refusal_p50_ms_{times:g}"] = one.took_ms(EXHAUSTED, 50)
        found[f"refusal_p99_ms_{times:g}"] = one.took_ms(EXHAUSTED, 99)
        answered_cpu_s = one.rate(OK) * found["peak_cpu_ms"] / 1e3
        found[f"refusal_core_{times:g}"] = one.server_cpu_s / one.seconds - answered_cpu_s
    found["p99_growth_3"] = found["p99_ms_3"] / max(found["p99_ms_0.7"], 1e-9)
    return found | _greed(bench, peak)


def _greed(bench: Bench, peak: float) -> dict[str, float]:
    """Let one caller ask for 20 times its share, and see what the others lose."""
    others = CALLERS[1:]
    share = peak / len(CALLERS)
    modest = dict.fromkeys(CALLERS, share * SHARE)
    fair = bench.offer(modest)
    unfair = bench.offer(modest | {GREEDY: share * GREEDY_SHARES})
    return {
        "others_lose": 1 - unfair.answered_share(others) / max(fair.answered_share(others), 1e-9),
        "others_p99_growth": unfair.took_ms(OK, 99, others) / fair.took_ms(OK, 99, others),
    }


def _recovery(bench: Bench, peak: float, again_s: float) -> dict[str, float]:
    """Overload the server for long, and count the seconds until it serves as before."""
    before = bench.offer({CALLERS[0]: peak * 0.7})
    bench.offer({CALLERS[0]: peak * 10}, again_s)
    after = bench.offer({CALLERS[0]: peak * 0.7}, 10.0)
    limit_ms = 2 * before.took_ms(OK, 99)
    bad = [one.due_s for one in after.samples if one.status != OK or one.took_s * 1e3 > limit_ms]
    return {"recovery_s": max(bad, default=0.0), "overloaded_s": again_s}


def _table(figures: dict[str, float]) -> Table:
    table = Table("figure", "median")
    for name, value in figures.items():
        table.add_row(name, f"{value:.3g}")
    return table


def _plot(found: list[dict[str, float]], path: Path) -> None:
    mpl.use("Agg")
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for one in found:
        left.plot(OFFERED, [one[f"goodput_{at:g}"] for at in OFFERED], "o-", color="0.8")
        right.plot(OFFERED, [one[f"p99_ms_{at:g}"] for at in OFFERED], "o-", color="0.8")
    for axes, name in ((left, "goodput"), (right, "p99_ms")):
        medians = [statistics.median(one[f"{name}_{at:g}"] for one in found) for at in OFFERED]
        axes.plot(OFFERED, medians, "o-", color="tab:blue", label="median of the rounds")
        axes.set_xscale("log")
        axes.set_xticks(OFFERED, [f"{at:g}" for at in OFFERED])
        axes.minorticks_off()
        axes.set_xlabel("offered load, times the peak")
        axes.set_ylim(bottom=0)
        axes.legend()
    left.set_ylabel("answered a second, share of the peak")
    right.set_ylabel("99th percentile of what was answered, ms")
    figure.savefig(path, dpi=120)
    plt.close(figure)
