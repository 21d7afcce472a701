"""The command `imageward-bench soak`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from imageward_bench.soak.report import figures_of, table_of, write
from imageward_bench.soak.run import Plan
from imageward_bench.soak.run import soak as run_soak

SMOKE = Plan(0.1, share=0.3, workers=2, swaps_min=2, seed=1, step_s=2.0, peak_s=1.0)


def soak(
    minutes: Annotated[float, typer.Option(help="How long the load is held.", min=1)] = 60.0,
    share: Annotated[float, typer.Option(help="Of the peak.", min=0.01, max=1.0)] = 0.7,
    workers: Annotated[int, typer.Option(help="Of the server.", min=1)] = 2,
    swaps: Annotated[int, typer.Option(help="Of segments, at least.", min=1)] = 120,
    seed: Annotated[int, typer.Option(help="Seed of all random data.")] = 1,
    out: Annotated[Path, typer.Option(help="Folder for soak.json and soak.png.")] = Path(
        "bench-out/soak"
    ),
    smoke: Annotated[bool, typer.Option("--smoke", help="Seconds only: does it run at all?")] = (
        False
    ),
) -> None:
    """Hold a load beside additions and withdrawals; tell what grows and what slows down."""
    console = Console()
    plan = SMOKE if smoke else Plan(minutes, share, workers, swaps, seed)
    outcome = run_soak(plan, console)
    figures = figures_of(plan, outcome)
    write(figures, out)
    console.print(table_of(figures))
    console.print(
        f"{figures['calls']:,} calls, {figures['failed']} failed; {figures['swaps']} swaps; "
        f"p99 {figures['p99_first_ms']} ms in the first {figures['ends_min']:g} min, "
        f"{figures['p99_last_ms']} ms in the last"
    )
    console.print(f"figures in {out / 'soak.json'}")
