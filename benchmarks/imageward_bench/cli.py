"""The command `imageward-bench`."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from imageward_bench import at_rest as at_rest_run
from imageward_bench import audit_cost as audit_run
from imageward_bench import demo as demo_run
from imageward_bench import restart as restart_run
from imageward_bench import sealing as sealing_run
from imageward_bench.abuse.command import abuse
from imageward_bench.cage_bench import cage
from imageward_bench.capacity.command import capacity
from imageward_bench.edits_command import edits
from imageward_bench.everything import everything
from imageward_bench.freshness.command import freshness
from imageward_bench.fuzz.command import fuzz
from imageward_bench.hashing.command import hash_images
from imageward_bench.index_bench import index
from imageward_bench.load.agreement import agree
from imageward_bench.load.command import load
from imageward_bench.load.options import SMOKE_BANK
from imageward_bench.lookups import lookups
from imageward_bench.metrics_cost import metrics_cost
from imageward_bench.overload_command import overload
from imageward_bench.peers.command import peers
from imageward_bench.report.compare import compare
from imageward_bench.report.option import JsonFile
from imageward_bench.rolling import rolling
from imageward_bench.soak.command import soak
from imageward_bench.workers import workers

EXIT_WRONG = 1

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Measures imageward, and shows it at work.",
    epilog="Exit codes: 0 as it should be, 1 something came out otherwise, 2 wrong usage.",
)


@app.command("demo-case")
def demo_case() -> None:
    """Open a case, hand over, approve, block, mail, delete, withdraw: the intake's whole story."""
    from imageward_bench import demo_case as demo_case_run  # noqa: PLC0415 - needs the dev extra

    try:
        demo_case_run.run(Console())
    except demo_case_run.DemoFailed as error:
        typer.echo(f"imageward-bench: {error}", err=True)
        raise typer.Exit(EXIT_WRONG) from error


@app.command()
def demo(
    sheet: Annotated[
        Path, typer.Option(help="PNG to draw what was sent, and what came back, into.")
    ] = Path("demo-out/contact-sheet.png"),
) -> None:
    """Bank real photographs, send altered copies, withdraw, crash, restart; show every verdict."""
    if not demo_run.run(Console(), sheet):
        raise typer.Exit(EXIT_WRONG)


Count = Annotated[str, typer.Option("--n", help="How many, such as 1e6.")]
Seed = Annotated[int, typer.Option(help="Seed of all random data.")]
Smoke = Annotated[bool, typer.Option("--smoke", help="Tiny sizes: does it run at all?")]


@app.command()
def restart(
    count: Count = "1e7", seed: Seed = 1, report: JsonFile = None, smoke: Smoke = False
) -> None:
    """Measure the time from start to SERVING, with and without segments, and shared memory."""
    plan = restart_run.Plan(int(float(count)), seed)
    if smoke:
        plan = restart_run.Plan(SMOKE_BANK, seed, starts=1, servers=2)
    restart_run.run(Console(), plan, report)


@app.command()
def sealing(
    count: Count = "1e6", seed: Seed = 1, report: JsonFile = None, smoke: Smoke = False
) -> None:
    """Measure the latency of searches alone and beside sealing and merging."""
    sealing_run.run(Console(), 20_000 if smoke else int(float(count)), seed, report)


@app.command("at-rest")
def at_rest(
    count: Count = "1e6", seed: Seed = 1, report: JsonFile = None, smoke: Smoke = False
) -> None:
    """Measure what encryption at rest costs: additions, starts, segments, memory, erasures."""
    at_rest_run.run(Console(), 2_000 if smoke else int(float(count)), seed, report)


@app.command()
def audit(
    count: Count = "1e5",
    calls: Annotated[int, typer.Option(help="Calls of each kind, with and without.")] = 300,
    seed: Seed = 1,
    report: JsonFile = None,
    smoke: Smoke = False,
) -> None:
    """Measure what the audit costs a change, and a reviewer's search."""
    if smoke:
        count, calls = "1e3", 4
    audit_run.run(Console(), int(float(count)), calls, seed, report)


app.command()(index)
app.command()(load)
app.command()(capacity)
app.command("hash")(hash_images)
app.command()(freshness)
app.command()(peers)
app.command()(agree)
app.command()(compare)
app.command("all")(everything)
app.command()(edits)
app.command()(abuse)
app.command()(overload)
app.command()(cage)
app.command()(lookups)
app.command("metrics-cost")(metrics_cost)
app.command()(fuzz)
app.command()(rolling)
app.command()(soak)
app.command()(workers)


def main() -> None:
    """Run the command; SIGTERM ends the servers that it started too, as Ctrl-C does."""
    signal.signal(signal.SIGTERM, _end)
    app()


def _end(number: int, _frame: object) -> NoReturn:
    raise SystemExit(128 + number)
