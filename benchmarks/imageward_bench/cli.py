"""The command `imageward-bench`."""

from __future__ import annotations

import typer
from rich.console import Console

from imageward_bench import demo as demo_run
from imageward_bench.edits_command import edits

EXIT_WRONG = 1

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Measures imageward, and shows it at work.",
    epilog="Exit codes: 0 as it should be, 1 something came out otherwise, 2 wrong usage.",
)


@app.callback()
def _commands() -> None:
    """Keep subcommands even while there is one."""


@app.command()
def demo() -> None:
    """Bank real photographs, send altered copies, withdraw, crash, restart; show every verdict."""
    if not demo_run.run(Console()):
        raise typer.Exit(EXIT_WRONG)


app.command()(edits)


def main() -> None:
    """Run the command."""
    app()
