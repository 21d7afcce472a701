"""The command `imageward-bench load`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from imageward_bench.load import options as opt
from imageward_bench.load.driver import Step
from imageward_bench.load.figures import Figures, median_of
from imageward_bench.load.measure import Repetition, measure, warnings_of
from imageward_bench.load.mix import InvalidMix, Kind, Mix, Part, read_mix
from imageward_bench.load.processes import GeneratorFailed, Generators, Setup
from imageward_bench.load.report import make_record, write_load
from imageward_bench.load.schedule import Arrivals
from imageward_bench.load.session import Choice, Session, session
from imageward_bench.machine import describe
from imageward_bench.report.page import shown
from imageward_client import ImagewardClientError

EXIT_FAILED = 1
RATE_DEFAULT = 500.0
SHOWN_PERCENTILES = ("p50", "p90", "p99", "p99.9", "max")

Rate = Annotated[
    float | None,
    typer.Option(help="Open loop: calls a second, whatever the server does.", min=0.01),
]
Concurrency = Annotated[
    int | None,
    typer.Option(help="Closed loop instead: calls under way at once.", min=1, max=100_000),
]
ArrivalKind = Annotated[Arrivals, typer.Option(help="How the open loop's calls are spaced.")]


def load(
    target: opt.Target = "",
    bank_size: opt.BankSize = "1e6",
    regional: opt.Regional = False,
    photos: opt.Photos = None,
    workers: opt.Workers = None,
    server_flag: opt.ServerFlags = None,
    mix: opt.MixFile = None,
    call: opt.CallKind = "hash",
    items: opt.Items = 100,
    megapixels: opt.Megapixels = 1.0,
    matches: opt.Matches = 0.05,
    rate: Rate = None,
    concurrency: Concurrency = None,
    arrivals: ArrivalKind = "constant",
    connections: opt.Connections = 8,
    processes: opt.Processes = 1,
    warmup_s: opt.WarmupS = 2.0,
    duration_s: opt.DurationS = 10.0,
    repetitions: opt.Repetitions = 3,
    deadline_s: opt.DeadlineS = 2.0,
    metadata: opt.Metadata = None,
    metrics_url: opt.MetricsUrl = "",
    seed: opt.Seed = 1,
    out: opt.Out = opt.OUT_DEFAULT,
    smoke: opt.Smoke = False,
) -> None:
    """Send calls at a fixed rate, or so many at once, and tell how they were answered."""
    if rate is not None and concurrency is not None:
        raise typer.BadParameter("give --rate for an open loop or --concurrency for a closed one")
    opt.require_use_of(photos, regional=regional)
    if smoke:
        bank_size, warmup_s, duration_s, repetitions, rate = str(opt.SMOKE_BANK), 0.2, 1.0, 2, 200
    if metrics_url and not metrics_url.startswith(("http://", "https://")):
        raise typer.BadParameter("give it as http://host:port/metrics", param_hint="--metrics-url")
    sent = mix_of(mix, call, items, megapixels, matches)
    step = Step(
        duration_s,
        deadline_s,
        rate_per_s=0.0 if concurrency else rate or RATE_DEFAULT,
        concurrency=concurrency or 0,
        arrivals=arrivals,
        seed=seed,
    )
    choice = Choice(target, opt.count_of(bank_size), workers, server_flag or (), regional, photos)
    settings = {
        "loop": f"closed, {concurrency} at once" if concurrency else f"open, {arrivals}",
        "rate_per_s": step.rate_per_s or None,
        "sent": str(sent),
        "bank_size": None if target else choice.bank_size,
        "regional": regional,
        "workers": workers,
        "server_flags": list(choice.flags),
        "server_use_from": f"{metrics_url}, workers alone" if metrics_url else "/proc",
        "connections": connections,
        "processes": processes,
        "warmup_s": warmup_s,
        "duration_s": duration_s,
        "deadline_s": deadline_s,
        "repetitions": repetitions,
        "seed": seed,
    }
    console, machine = Console(), describe()
    with reported_failures(console), session(choice, sent, seed, console) as ready:
        setup = Setup(
            ready.served.target, ready.workload, processes, connections, opt.metadata_of(metadata)
        )
        with Generators(setup) as generators:
            done = list(
                _repeat(generators, step, warmup_s, ready, metrics_url, repetitions, console)
            )
    record = make_record("load", settings, done, machine)
    write_load(record, done, out)
    _show([one.figures for one in done], console)
    console.print(f"report in {out / 'load.md'}")
    if any(one.figures.wrong for one in done):
        raise typer.Exit(EXIT_FAILED)


def mix_of(file: Path | None, call: Kind, items: int, megapixels: float, matches: float) -> Mix:
    """Return the mix of a file, or of the options.

    Raises:
        BadParameter: the file is no mix.
    """
    if file is None:
        part = Part(kind=call, items=items, megapixels=(megapixels,), matches=matches)
        return Mix(call=(part,))
    try:
        return read_mix(file)
    except InvalidMix as error:
        raise typer.BadParameter(str(error), param_hint="--mix") from error


@contextmanager
def reported_failures(console: Console) -> Iterator[None]:
    """End the command with a message where the server or a generator fails it."""
    try:
        yield
    except (GeneratorFailed, ImagewardClientError, OSError, RuntimeError) as error:
        console.print(f"[red]{error}[/]")
        raise typer.Exit(EXIT_FAILED) from error


def _repeat(
    generators: Generators,
    step: Step,
    warmup_s: float,
    ready: Session,
    metrics_url: str,
    repetitions: int,
    console: Console,
) -> Iterator[Repetition]:
    for number in range(1, repetitions + 1):
        again = replace(step, seed=step.seed + number - 1)
        with console.status(
            f"repetition {number} of {repetitions}: {warmup_s + step.duration_s:g} s"
        ):
            done = measure(generators, again, warmup_s, ready.items, ready.served.pid, metrics_url)
        console.print(f"{number} of {repetitions}: {line(done.figures)}")
        yield done


def line(figures: Figures) -> str:
    """Tell figures in one line."""
    latencies = ", ".join(
        f"{name} {shown(figures.latency_ms[name])}"
        for name in SHOWN_PERCENTILES
        if name in figures.latency_ms
    )
    return (
        f"offered {shown(figures.offered_per_s)}/s, goodput {shown(figures.goodput_per_s)}/s, "
        f"{latencies} ms, errors {figures.errors_share:.2%}, "
        f"generator {figures.generator_cpu:.0%}, server {shown(figures.server.cpu_cores)} cores"
    )


def _show(repetitions: list[Figures], console: Console) -> None:
    """Print the medians, the statuses and what makes them doubtful."""
    median = median_of(repetitions)
    table = Table("median of repetitions", "", title="Load")
    table.columns[1].justify = "right"
    for name, value in (
        ("offered, calls a second", median.offered_per_s),
        ("goodput, calls a second", median.goodput_per_s),
        ("hashes or images in them, a second", median.items_per_s),
        *((f"latency {name}, ms", value) for name, value in median.latency_ms.items()),
        ("server, cores", median.server.cpu_cores),
        ("server, MB", median.server.memory_bytes and median.server.memory_bytes / 1e6),
        ("generator, busiest process, cores", median.generator_cpu),
    ):
        table.add_row(name, shown(value))
    for name, count in median.statuses.items():
        table.add_row(name, shown(count))
    console.print(table)
    for warning in warnings_of(median):
        console.print(f"[yellow]warning[/]: {warning}")
