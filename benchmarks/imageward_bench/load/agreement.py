"""The command `imageward-bench agree`: our generator beside h2load, on the same call.

Both send the same echo at the same rate over as many connections to the same server,
turn by turn. h2load knows neither percentiles nor intended times, so the rates and the
mean latencies are compared. Each of its connections sends every 10 ms what has become due, all
of them in one moment, so that calls wait for each other: ours come in the same bursts here,
and count from when they were begun.
"""

from __future__ import annotations

import re
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from imageward_bench.load import options as opt
from imageward_bench.load.driver import Step
from imageward_bench.load.figures import within
from imageward_bench.load.measure import Repetition, measure
from imageward_bench.load.mix import Mix, Part
from imageward_bench.load.processes import Generators, Setup
from imageward_bench.load.session import Choice, Session, session
from imageward_bench.machine import describe
from imageward_bench.report.page import head, shown, table
from imageward_bench.report.record import Measure, Record

EXIT_APART = 1
WARMUP_S = 1.0
DEADLINE_S = 2.0
APART_MAX = 0.05
_UNITS_MS = {"us": 1e-3, "ms": 1.0, "s": 1e3}
_RATE = re.compile(r"finished in [\d.]+s, ([\d.]+) req/s")
_MEAN = re.compile(r"time for request:\s+\S+\s+\S+\s+([\d.]+)(us|ms|s)")

Rate = Annotated[float, typer.Option(help="Calls a second.", min=1)]


def agree(
    rate: Rate = 1000.0,
    connections: opt.Connections = 8,
    duration_s: opt.DurationS = 5.0,
    repetitions: opt.Repetitions = 5,
    seed: opt.Seed = 1,
    out: opt.Out = opt.OUT_DEFAULT,
) -> None:
    """Compare the load generator with h2load; end with 1 where they are 5 % apart."""
    console, machine = Console(), describe()
    program = shutil.which("h2load")
    if program is None:
        console.print("h2load is not installed: it is in Debian's package nghttp2-client")
        return
    step = Step(duration_s, DEADLINE_S, rate_per_s=rate, arrivals="bursts", seed=seed)
    ours: list[tuple[float, float]] = []
    theirs: list[tuple[float, float]] = []
    with session(Choice(), Mix(call=(Part(kind="echo"),)), seed, console) as ready:
        setup = Setup(ready.served.target, ready.workload, connections=connections)
        with Generators(setup) as generators:
            for _ in range(repetitions):
                run = measure(generators, step, WARMUP_S, (1,), None)
                ours.append((run.figures.achieved_per_s, _mean_ms(run)))
                theirs.append(_h2load(program, ready, step, connections))
                console.print(f"ours {_told(ours[-1])}, h2load {_told(theirs[-1])}")
    rates = (_rates("imageward-bench", ours), _rates("h2load", theirs))
    means = (_means("imageward-bench", ours), _means("h2load", theirs))
    settings = {
        "rate_per_s": rate,
        "connections": connections,
        "duration_s": duration_s,
        "repetitions": repetitions,
        "seed": seed,
    }
    out.mkdir(parents=True, exist_ok=True)
    Record("agree", settings, (*rates, *means), {}, machine).write(out / "agree.json")
    pairs = {"calls a second": rates, "mean latency, ms": means}
    compared = _compared(pairs)
    (out / "agree.md").write_text(head("imageward-bench agree", machine, settings) + compared)
    console.print(compared)
    console.print(f"report in {out / 'agree.md'}")
    if any(abs(_ratio(*pair) - 1) > APART_MAX for pair in pairs.values()):
        raise typer.Exit(EXIT_APART)


def _compared(pairs: Mapping[str, tuple[Measure, Measure]]) -> str:
    """Return a table of both figures and their ratio, and what that means."""
    rows: list[list[object]] = []
    for name, (mine, other) in pairs.items():
        ratio = _ratio(mine, other)
        said = "agree" if abs(ratio - 1) <= APART_MAX else f"more than {APART_MAX:.0%} apart"
        rows.append([name, mine.median, other.median, f"{ratio:.3f}", said])
    names = ["median of repetitions", "imageward-bench", "h2load", "ratio", ""]
    return table(names, rows)


def _mean_ms(run: Repetition) -> float:
    """Return the mean latency from when calls were begun: how late they were is left out."""
    calls = within(run.samples, run.window_s)
    timed = calls.where(calls.timed)
    return float((timed.latency_ns - timed.lag_ns).mean()) / 1e6


def _rates(who: str, told: list[tuple[float, float]]) -> Measure:
    return Measure(f"{who} rate", "1/s", "higher", tuple(rate for rate, _ in told))


def _means(who: str, told: list[tuple[float, float]]) -> Measure:
    return Measure(f"{who} mean latency", "ms", "lower", tuple(mean for _, mean in told))


def _ratio(mine: Measure, other: Measure) -> float:
    """Return the median, over the turns, of ours by theirs."""
    turns = zip(mine.values, other.values, strict=True)
    return statistics.median(one / beside for one, beside in turns)


def _h2load(program: str, ready: Session, step: Step, connections: int) -> tuple[float, float]:
    """Run h2load once; return its calls a second and its mean latency in milliseconds."""
    pool = ready.workload.pools[0]
    message = pool.messages[0]
    with tempfile.NamedTemporaryFile() as body:
        Path(body.name).write_bytes(b"\0" + len(message).to_bytes(4, "big") + message)
        command = [program, "-c", f"{connections}", "-m", "10", "-t", "1"]
        command += ["-D", f"{step.duration_s:g}", f"--warm-up-time={WARMUP_S:g}"]
        command += [f"--rps={step.rate_per_s / connections:g}", "-d", body.name]
        command += ["-H", "content-type: application/grpc", "-H", "te: trailers"]
        command += [f"http://{ready.served.target}{pool.path}"]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rate, mean = _RATE.search(said), _MEAN.search(said)
    assert rate is not None, said
    assert mean is not None, said
    return float(rate[1]), float(mean[1]) * _UNITS_MS[mean[2]]


def _told(pair: tuple[float, float]) -> str:
    return f"{shown(pair[0])}/s, mean {shown(pair[1])} ms"
