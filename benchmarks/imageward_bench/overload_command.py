"""The command `imageward-bench overload`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from imageward_bench import overload as overload_run


def overload(
    rounds: Annotated[int, typer.Option(help="Times that all is measured.", min=1)] = 5,
    seconds: Annotated[float, typer.Option(help="How long each load lasts.", min=1)] = 8.0,
    again_s: Annotated[float, typer.Option(help="The long overload, in seconds.")] = 60.0,
    seed: Annotated[int, typer.Option(help="Seed of the times of calls.")] = 1,
    folder: Annotated[Path, typer.Option(help="Where figures and plot go.")] = Path(),
) -> None:
    """Measure goodput, waits, refusals, fairness and recovery beyond a server's capacity."""
    overload_run.run(Console(), rounds, seconds, again_s, seed, folder)
