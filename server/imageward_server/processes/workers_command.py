"""`imageward-server workers`: who serves a data folder, and how often workers died."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from imageward_server.processes.roster import read_rosters

DataDir = Annotated[
    Path, typer.Option(help="Data folder of the server.", exists=True, file_okay=False)
]


def show_workers(
    data_dir: DataDir = Path("imageward-data"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the supervisors of a data folder, their workers, and how often those died."""
    rosters = read_rosters(data_dir)
    if as_json:
        typer.echo(json.dumps(rosters, indent=2))
        return
    table = Table("port", "supervisor", "worker", "process", "stage", "deaths")
    for roster in rosters:
        for line in roster["workers"]:
            row = (roster["port"], roster["supervisor_pid"], *line.values())
            table.add_row(*(str(value) for value in row))
    Console().print(table)
