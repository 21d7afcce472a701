"""The command `imageward-bench fuzz`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import structlog
import typer
from rich.console import Console

from imageward_bench.fuzz import campaign
from imageward_bench.report.option import JsonFile

EXIT_FOUND = 1


def fuzz(
    runs: Annotated[str, typer.Option(help="Files to decode, such as 1e6.")] = "1e5",
    seed: Annotated[int, typer.Option(help="Seed of all spoiling.")] = 1,
    cells: Annotated[int, typer.Option(min=1, help="Cells at work at once.")] = 2,
    finds: Annotated[Path, typer.Option(help="Folder for the files that were found.")] = Path(
        "tests/server/cage/finds"
    ),
    report: JsonFile = None,
) -> None:
    """Decode spoiled files of every format in cells; keep what crashes, escapes or overruns."""
    # Every find is reported; a line for every cell that ended would bury it.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    if not campaign.run(Console(), int(float(runs)), seed, cells, finds, report):
        raise typer.Exit(EXIT_FOUND)
