"""What counting costs: servers with and without metrics, loaded in turn by one generator.

A third server is like the first. What the two differ by is what the machine does meanwhile,
and no difference smaller than that is one. Each turn is compared with the mean of both
servers without metrics in the same round.

Where a process happens to lie in memory makes it some percent faster or slower for as long
as it lives, so all three are started anew several times.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from statistics import median
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from imageward_bench.load.driver import Step
from imageward_bench.load.measure import measure
from imageward_bench.load.mix import Mix, Part
from imageward_bench.load.processes import Generators, Setup
from imageward_bench.load.session import Choice, Session, session
from imageward_bench.machine import describe
from imageward_bench.report.option import JsonFile

CALLS_AT_ONCE = 16
CONNECTIONS = 8
DEADLINE_S = 5.0
WARMUP_S = 0.5
SERVERS = {"off": (), "on": ("--metrics-listen", "127.0.0.1:0"), "off again": ()}


@dataclass(frozen=True, slots=True)
class Turn:
    """One server's part of a round.

    Attributes:
        calls_per_s: answered OK.
        cpu_us: processor time of all the server's processes for each of them.
        p50_ms: latency.
    """

    calls_per_s: float
    cpu_us: float
    p50_ms: float


@dataclass(frozen=True, slots=True)
class Round:
    """One load of each server, in one start of them.

    Attributes:
        start: which, from 0.
        turns: by the server's name.
    """

    start: int
    turns: dict[str, Turn]

    def ratio(self, name: str, what: str) -> float:
        """Compare one figure of a server with the mean of both servers without metrics."""
        plain = getattr(self.turns["off"], what) + getattr(self.turns["off again"], what)
        return float(2 * getattr(self.turns[name], what) / plain)


def metrics_cost(
    bank_size: Annotated[str, typer.Option(help="Hashes in the bank.")] = "1e5",
    starts: Annotated[int, typer.Option(help="How often the servers are started.", min=1)] = 8,
    rounds: Annotated[int, typer.Option(help="Loads of each server in a start.", min=1)] = 10,
    duration_s: Annotated[float, typer.Option("--duration-s", help="Of each load.")] = 1.2,
    seed: Annotated[int, typer.Option(help="Seed of all random data.")] = 1,
    report: JsonFile = None,
    smoke: Annotated[bool, typer.Option("--smoke", help="Tiny sizes: does it run at all?")] = False,
) -> None:
    """Measure calls a second, and processor time a call, with and without metrics, in turn."""
    if smoke:
        bank_size, starts, rounds, duration_s = "2000", 1, 1, 0.5
    console = Console()
    done: list[Round] = []
    for start in range(starts):
        done += _start(start, rounds, int(float(bank_size)), duration_s, seed, console)
        console.print(f"start {start + 1} of {starts}: {_spread(done, start)}")
    told = {"seed": seed, "starts": starts, "rounds": rounds, "bank_size": bank_size}
    figures = {name: _figures(done, name) for name in SERVERS}
    _show(figures, console)
    if report:
        each = [asdict(one) for one in done]
        report.write_text(
            json.dumps({**told, **figures, "rounds": each, "machine": describe()}, indent=2)
        )


def _start(
    start: int, rounds: int, bank_size: int, duration_s: float, seed: int, console: Console
) -> list[Round]:
    """Start the three servers, load them in turn, and stop them."""
    mix = Mix(call=(Part(kind="hash"),))
    # Each is first, second and last equally often, in the order of starts as of turns.
    names = _turned(list(SERVERS), start)
    with ExitStack() as opened:
        ready = {
            name: opened.enter_context(
                session(Choice("", bank_size, 1, SERVERS[name]), mix, seed, console)
            )
            for name in names
        }
        generators = {
            name: opened.enter_context(
                Generators(Setup(one.served.target, one.workload, 1, CONNECTIONS))
            )
            for name, one in ready.items()
        }

        def load(number: int) -> Round:
            step = Step(duration_s, DEADLINE_S, 0.0, CALLS_AT_ONCE, seed=seed + number)
            order = _turned(names, number)
            return Round(
                start, {name: _turn(generators[name], step, ready[name]) for name in order}
            )

        return [load(number) for number in range(rounds)]


def _turned(names: list[str], by: int) -> list[str]:
    return names[by % len(names) :] + names[: by % len(names)]


def _turn(generators: Generators, step: Step, ready: Session) -> Turn:
    figures = measure(generators, step, WARMUP_S, ready.items, ready.served.pid).figures
    cores = figures.server.cpu_cores or 0.0
    return Turn(
        figures.goodput_per_s,
        cores / figures.goodput_per_s * 1e6,
        figures.latency_ms["p50"],
    )


def _figures(done: list[Round], name: str) -> dict[str, float]:
    """Take medians of a server's figures, and of their ratios within each round."""

    def middle(read: Callable[[Round], float]) -> float:
        return median(read(one) for one in done)

    return {
        "calls_per_s": middle(lambda one: one.turns[name].calls_per_s),
        "cpu_us": middle(lambda one: one.turns[name].cpu_us),
        "p50_ms": middle(lambda one: one.turns[name].p50_ms),
        "calls_ratio": middle(lambda one: one.ratio(name, "calls_per_s")),
        "cpu_ratio": middle(lambda one: one.ratio(name, "cpu_us")),
    }


def _spread(done: list[Round], start: int) -> str:
    """Tell the ratios of processor time of one start."""
    mine = [one for one in done if one.start == start]
    told = (f"{name} {_figures(mine, name)['cpu_ratio']:.3f}" for name in SERVERS)
    return f"CPU a call, as a ratio: {', '.join(told)}"


def _show(figures: dict[str, dict[str, float]], console: Console) -> None:
    table = Table("metrics", "calls/s", "ratio", "CPU us a call", "ratio", "p50 ms")
    for name, row in figures.items():
        table.add_row(
            name,
            f"{row['calls_per_s']:,.0f}",
            f"{row['calls_ratio']:.3f}",
            f"{row['cpu_us']:.1f}",
            f"{row['cpu_ratio']:.3f}",
            f"{row['p50_ms']:.2f}",
        )
    console.print(table)
