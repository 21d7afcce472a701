"""The command `imageward-bench abuse`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from imageward_bench.abuse import campaign
from imageward_bench.abuse.kinds import KINDS
from imageward_bench.report.option import JsonFile

EXIT_WRONG = 1


def abuse(
    kinds: Annotated[list[str] | None, typer.Argument(help="Which; none for all.")] = None,
    seconds: Annotated[float, typer.Option(help="How long each, twice.", min=1)] = 20.0,
    seed: Annotated[int, typer.Option(help="Seed of the good calls' times.")] = 1,
    report: JsonFile = None,
) -> None:
    """Measure what good callers notice of peers that misbehave on HTTP/2."""
    if unknown := sorted(set(kinds or ()) - KINDS.keys()):
        raise typer.BadParameter(f"{unknown[0]} is none of {', '.join(KINDS)}")
    if not campaign.run(Console(), kinds or [], seconds, seed, report):
        raise typer.Exit(EXIT_WRONG)
