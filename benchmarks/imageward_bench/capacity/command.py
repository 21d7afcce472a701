"""The command `imageward-bench capacity`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from imageward_bench.capacity.knee import Objective, Point, explore, limit
from imageward_bench.capacity.report import (
    SUMMARY_NAMES,
    Found,
    make_record,
    summary_row,
    write_capacity,
)
from imageward_bench.load import options as opt
from imageward_bench.load.command import line, mix_of, reported_failures
from imageward_bench.load.driver import Step
from imageward_bench.load.figures import Figures
from imageward_bench.load.measure import is_disturbed, measure
from imageward_bench.load.mix import Mix, Part
from imageward_bench.load.processes import Generators, Setup
from imageward_bench.load.session import Choice, Session, session
from imageward_bench.machine import describe
from imageward_bench.report.page import shown

BankSizes = Annotated[
    str, typer.Option("--bank-size", help="Entries in the bank, comma between: 1e6,1e7.")
]
P99 = Annotated[float, typer.Option("--p99-ms", help="Objective: the slowest of 100 calls.")]
Errors = Annotated[
    float, typer.Option(help="Objective: share of calls without a right answer.", min=0, max=1)
]
Concurrency = Annotated[int, typer.Option(help="Calls under way in the closed loop.", min=1)]
CallsMin = Annotated[
    int,
    typer.Option(
        help="A rate is measured for longer than --duration-s, at most 30 s, until so many "
        "calls are due: of fewer than 500 no p99 can be told.",
        min=0,
    ),
]
AgainS = Annotated[
    float,
    typer.Option(
        "--again-s",
        help="Seconds, for each bank, for making runs again in which other processes or other "
        "machines took of this one.",
        min=0,
    ),
]
Echo = Annotated[bool, typer.Option(help="Measure a plain gRPC echo beside the server.")]


STEP_S_MAX = 30.0


def capacity(
    target: opt.Target = "",
    bank_size: BankSizes = "1e6,1e7",
    regional: opt.Regional = False,
    photos: opt.Photos = None,
    workers: opt.Workers = None,
    server_flag: opt.ServerFlags = None,
    mix: opt.MixFile = None,
    call: opt.CallKind = "hash",
    items: opt.Items = 100,
    megapixels: opt.Megapixels = 1.0,
    matches: opt.Matches = 0.05,
    p99_ms: P99 = 20.0,
    errors: Errors = 0.001,
    concurrency: Concurrency = 32,
    echo: Echo = True,
    connections: opt.Connections = 16,
    processes: opt.Processes = 1,
    warmup_s: opt.WarmupS = 1.0,
    duration_s: opt.DurationS = 4.0,
    calls_min: CallsMin = 500,
    repetitions: opt.Repetitions = 3,
    again_s: AgainS = 180.0,
    deadline_s: opt.DeadlineS = 2.0,
    seed: opt.Seed = 1,
    out: opt.Out = opt.OUT_DEFAULT,
    smoke: opt.Smoke = False,
) -> None:
    """Find the highest rate that holds an objective, and tell what a rate needs."""
    opt.require_use_of(photos, regional=regional)
    if smoke:
        bank_size, warmup_s, duration_s, repetitions = str(opt.SMOKE_BANK), 0.1, 0.4, 1
        calls_min, again_s = 0, 0.0
    sent = mix_of(mix, call, items, megapixels, matches)
    sizes = [0] if target else [opt.count_of(one) for one in bank_size.split(",")]
    objective = Objective(p99_ms, errors)
    settings = {
        "sent": str(sent),
        "bank_sizes": sizes,
        "regional": regional,
        "workers": workers,
        "server_flags": server_flag or [],
        "closed_loop_concurrency": concurrency,
        "connections": connections,
        "processes": processes,
        "warmup_s": warmup_s,
        "duration_s": duration_s,
        "calls_min": calls_min,
        "deadline_s": deadline_s,
        "repetitions": repetitions,
        "again_s": again_s,
        "seed": seed,
    }
    console, machine = Console(), describe()
    plan = Plan(
        Step(duration_s, deadline_s, concurrency=concurrency, seed=seed),
        warmup_s,
        calls_min,
        repetitions,
        again_s,
        connections,
        processes,
    )
    found = []
    with reported_failures(console):
        for size in sizes:
            choice = Choice(target, size, workers, server_flag or (), regional, photos)
            bench = Bench(sent, plan, console)
            name = target or f"bank of {size:,} {'fingerprints' if regional else 'hashes'}"
            found.append(bench.find(choice, name, objective, echo=echo))
    record = make_record(settings, objective, found, machine)
    write_capacity(record, objective, found, out)
    table = Table(*SUMMARY_NAMES, title=f"Capacity: {objective}")
    for one in found:
        table.add_row(*map(shown, summary_row(one, objective)))
    console.print(table)
    console.print(f"report in {out / 'capacity.md'}")


@dataclass(frozen=True, slots=True)
class Plan:
    """How each server is measured.

    Attributes:
        step: how long, with which deadline, and how many calls at once in a closed loop.
        warmup_s: not counted at first.
        calls_min: due at each rate, or it is measured for longer.
        repetitions: of every point.
        again_s: how long all runs together may take that others disturbed.
        connections: of all generator processes together.
        processes: that generate.
    """

    step: Step
    warmup_s: float
    calls_min: int
    repetitions: int
    again_s: float
    connections: int
    processes: int

    def step_at(self, rate_per_s: float) -> Step:
        """Return the step at a rate."""
        until_enough_s = min(self.calls_min / rate_per_s, STEP_S_MAX)
        duration_s = max(self.step.duration_s, until_enough_s)
        return replace(self.step, rate_per_s=rate_per_s, concurrency=0, duration_s=duration_s)


class Bench:
    """Measures one server.

    Args:
        sent: the mix of calls.
        plan: how.
        console: where progress is told.
    """

    def __init__(self, sent: Mix, plan: Plan, console: Console) -> None:
        self._sent, self._plan, self._console = sent, plan, console
        self._runs_again, self._again_s = 0, 0.0

    def find(self, choice: Choice, name: str, objective: Objective, *, echo: bool) -> Found:
        """Find the knee of one server."""
        with ExitStack() as stack:
            ours = self._ready(choice, self._sent, stack)
            plain = None
            if echo:
                plain = self._ready(choice, Mix(call=(Part(kind="echo"),)), stack)
            closed, echoed = self._saturate(ours, plain, name)
            estimate_per_s = sorted(one.goodput_per_s for one in closed)[len(closed) // 2]

            def at(rate_per_s: float) -> Point:
                return self._at(ours, max(1.0, rate_per_s), name)

            points = explore(at, estimate_per_s, objective)
            held = limit(points, objective)
            half = at(held.rate_per_s / 2) if held else None
        ends = tuple(closed), tuple(echoed), tuple(points), half, self._runs_again
        return Found(name, choice.bank_size, choice.regional, *ends)

    def _ready(self, choice: Choice, sent: Mix, stack: ExitStack) -> tuple[Session, Generators]:
        if sent is not self._sent:
            choice = replace(choice, target="")
        ready = stack.enter_context(session(choice, sent, self._plan.step.seed, self._console))
        setup = Setup(
            ready.served.target, ready.workload, self._plan.processes, self._plan.connections
        )
        return ready, stack.enter_context(Generators(setup))

    def _saturate(
        self,
        ours: tuple[Session, Generators],
        plain: tuple[Session, Generators] | None,
        name: str,
    ) -> tuple[list[Figures], list[Figures]]:
        """Run closed loops, the echo's between ours, so that both meet the same machine."""
        closed, echoed = [], []
        for _ in range(self._plan.repetitions):
            closed.append(self._run(ours, self._plan.step))
            self._console.print(f"{name}, closed loop: {line(closed[-1])}")
            if plain is not None:
                echoed.append(self._run(plain, self._plan.step))
                self._console.print(f"gRPC echo, closed loop: {line(echoed[-1])}")
        return closed, echoed

    def _at(self, ours: tuple[Session, Generators], rate_per_s: float, name: str) -> Point:
        point = Point(rate_per_s, tuple(self._runs(ours, self._plan.step_at(rate_per_s))))
        self._console.print(f"{name}: {line(point.median)}")
        return point

    def _runs(self, ours: tuple[Session, Generators], step: Step) -> Iterator[Figures]:
        for number in range(self._plan.repetitions):
            yield self._run(ours, replace(step, seed=step.seed + number))

    def _run(self, against: tuple[Session, Generators], step: Step) -> Figures:
        """Measure a step, and again while others disturb it, as often as the plan allows."""
        ready, generators = against
        while True:
            run = measure(generators, step, self._plan.warmup_s, ready.items, ready.served.pid)
            figures = run.figures
            with_this_s = self._again_s + step.duration_s + self._plan.warmup_s
            if not is_disturbed(figures) or with_this_s > self._plan.again_s:
                return figures
            self._again_s = with_this_s
            self._runs_again += 1
            self._console.print(
                f"again: others took {figures.others_cpu + figures.stolen_cpu:.2f} cores meanwhile"
            )
