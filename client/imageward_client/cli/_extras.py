"""Commands that other packages offer under the entry point group `imageward.commands`.

Each is a typer-compatible function that takes `--json`. It is imported only when
its command is called, so that `imageward --help` stays quick and works where the
server extra is not installed.
"""

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points

import typer

from imageward_client.cli._exit import ExitCode
from imageward_client.cli._output import note

GROUP = "imageward.commands"
PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True}


def register(app: typer.Typer) -> None:
    """Adds a command for every entry point, without importing it."""
    for point in entry_points(group=GROUP):
        app.command(
            point.name,
            help=f"Of the server extra; see `imageward {point.name} --help`.",
            context_settings=PASSED_ON,
            add_help_option=False,
        )(_command(point))


def _command(point: EntryPoint) -> Callable[[typer.Context], None]:
    def run(ctx: typer.Context) -> None:
        inner = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        inner.command(point.name)(_loaded(point))
        json = ["--json"] if ctx.obj.json and "--json" not in ctx.args else []
        inner([*json, *ctx.args], prog_name=f"imageward {point.name}")

    return run


def _loaded(point: EntryPoint) -> Callable[..., None]:
    try:
        command: Callable[..., None] = point.load()
    except ImportError as missing:
        note(
            f"`imageward {point.name}` needs the server extra:"
            f" pip install 'imageward[server]' ({missing})"
        )
        raise typer.Exit(ExitCode.USAGE) from missing
    return command
