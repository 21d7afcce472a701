"""What counting costs: servers with and without metrics, loaded in turn by one generator.

A third server is like the first. What the two differ by is what the machine does meanwhile,
and no difference smaller than that is one. Each turn is compared with the mean of both
servers without metrics in the same round.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
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


def metrics_cost(
    bank_size: Annotated[str, typer.Option(help="Hashes in the bank.")] = "1e5",
    rounds: Annotated[int, typer.Option(help="How often each server is loaded.", min=1)] = 80,
    duration_s: Annotated[float, typer.Option("--duration-s", help="Of each load.")] = 1.2,
    seed: Annotated[int, typer.Option(help="Seed of all random data.")] = 1,
    report: Annotated[Path | None, typer.Option("--json", help="File for the figures.")] = None,
    smoke: Annotated[bool, typer.Option("--smoke", help="Tiny sizes: does it run at all?")] = False,
) -> None:
    """Measure calls a second, and processor time a call, with and without metrics, in turn."""
    if smoke:
        bank_size, rounds, duration_s = "2000", 1, 0.5
    console = Console()
    mix = Mix(call=(Part(kind="hash"),))
    turns: dict[str, list[Turn]] = {name: [] for name in SERVERS}
    with ExitStack() as opened:
        ready = {
            name: opened.enter_context(
                session(Choice("", int(float(bank_size)), 1, flags), mix, seed, console)
            )
            for name, flags in SERVERS.items()
        }
        generators = {
            name: opened.enter_context(
                Generators(Setup(one.served.target, one.workload, 1, CONNECTIONS))
            )
            for name, one in ready.items()
        }
        for number in range(rounds):
            step = Step(duration_s, DEADLINE_S, 0.0, CALLS_AT_ONCE, seed=seed + number)
            # Each is first, second and last equally often.
            names = list(SERVERS)
            for name in names[number % 3 :] + names[: number % 3]:
                turns[name].append(_turn(generators[name], step, ready[name]))
    told = {"seed": seed, "rounds": rounds, "bank_size": bank_size, **_compared(turns)}
    _show(told, console)
    if report:
        each = {name: [asdict(one) for one in all_of] for name, all_of in turns.items()}
        report.write_text(json.dumps({**told, "turns": each, "machine": describe()}, indent=2))


def _turn(generators: Generators, step: Step, ready: Session) -> Turn:
    figures = measure(generators, step, WARMUP_S, ready.items, ready.served.pid).figures
    cores = figures.server.cpu_cores or 0.0
    return Turn(
        figures.goodput_per_s,
        cores / figures.goodput_per_s * 1e6,
        figures.latency_ms["p50"],
    )


def _compared(turns: dict[str, list[Turn]]) -> dict[str, dict[str, float]]:
    """Take medians of the figures, and of their ratios within each round."""
    return {
        name: {
            "calls_per_s": median(one.calls_per_s for one in each),
            "cpu_us": median(one.cpu_us for one in each),
            "p50_ms": median(one.p50_ms for one in each),
            "calls_ratio": median(_ratios(turns, name, "calls_per_s")),
            "cpu_ratio": median(_ratios(turns, name, "cpu_us")),
        }
        for name, each in turns.items()
    }


def _ratios(turns: dict[str, list[Turn]], name: str, what: str) -> list[float]:
    rounds = zip(turns[name], turns["off"], turns["off again"], strict=True)
    return [
        2 * getattr(one, what) / (getattr(first, what) + getattr(second, what))
        for one, first, second in rounds
    ]


def _show(told: dict[str, object], console: Console) -> None:
    table = Table("metrics", "calls/s", "ratio", "CPU us a call", "ratio", "p50 ms")
    for name in SERVERS:
        row = told[name]
        assert isinstance(row, dict)
        table.add_row(
            name,
            f"{row['calls_per_s']:,.0f}",
            f"{row['calls_ratio']:.3f}",
            f"{row['cpu_us']:.1f}",
            f"{row['cpu_ratio']:.3f}",
            f"{row['p50_ms']:.2f}",
        )
    console.print(table)
