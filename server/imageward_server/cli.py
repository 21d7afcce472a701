"""The command `imageward-server`."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from imageward_index.errors import ImagewardError
from imageward_server import __version__, config, logs
from imageward_server.app import Server
from imageward_server.intake.command import app as intake_app
from imageward_server.segments_command import app as segments_app
from imageward_server.store.engine import without_password

EXIT_FAILED = 1
EXIT_USAGE = 2
# A progress line at most this often.
REPORT_EVERY_S = 1.0

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Runs the imageward service.",
    epilog="Exit codes: 0 stopped as asked, 1 could not start, 2 wrong usage or configuration.",
)
config_app = typer.Typer(no_args_is_help=True, help="Looks at the configuration.")
app.add_typer(config_app, name="config")
app.add_typer(segments_app, name="segments")
app.add_typer(intake_app, name="intake")


def _field_help(name: str) -> str:
    return config.Config.model_fields[name].description or ""


ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", help=f"TOML file with any of the settings (or ${config.ENV_FILE})."),
]
DataDir = Annotated[Path | None, typer.Option(help=_field_help("data_dir"))]
StoreUrl = Annotated[str | None, typer.Option(help=_field_help("store_url"))]
Listen = Annotated[str | None, typer.Option(help=_field_help("listen"))]
AllowPlaintext = Annotated[
    bool | None, typer.Option("--allow-plaintext", help=_field_help("allow_plaintext"))
]
Surfaces = Annotated[
    list[str] | None, typer.Option("--surface", help=_field_help("surfaces") + " Repeat it.")
]
CallThreads = Annotated[int | None, typer.Option(help=_field_help("call_threads"))]
ComputeThreads = Annotated[int | None, typer.Option(help=_field_help("compute_threads"))]
StreamsMax = Annotated[int | None, typer.Option(help=_field_help("streams_max"))]
HeldBytesMax = Annotated[int | None, typer.Option(help=_field_help("held_bytes_max"))]
CallerCallsPerS = Annotated[float | None, typer.Option(help=_field_help("caller_calls_per_s"))]
DeadlineS = Annotated[float | None, typer.Option(help=_field_help("deadline_s"))]
ConnectionsMax = Annotated[int | None, typer.Option(help=_field_help("connections_max"))]
ConnectionAgeS = Annotated[float | None, typer.Option(help=_field_help("connection_age_s"))]
FeedPollS = Annotated[float | None, typer.Option(help=_field_help("feed_poll_s"))]
NoticeS = Annotated[float | None, typer.Option(help=_field_help("notice_s"))]
GraceS = Annotated[float | None, typer.Option(help=_field_help("grace_s"))]
IntakeConfig = Annotated[Path | None, typer.Option(help=_field_help("intake_config"))]
LogFormat = Annotated[str | None, typer.Option(help=_field_help("log_format") + " text or json.")]
LogLevel = Annotated[
    str | None, typer.Option(help=_field_help("log_level") + " debug, info, warning or error.")
]


@app.command()
def serve(
    config_file: ConfigFile = None,
    data_dir: DataDir = None,
    store_url: StoreUrl = None,
    listen: Listen = None,
    allow_plaintext: AllowPlaintext = None,
    surfaces: Surfaces = None,
    call_threads: CallThreads = None,
    compute_threads: ComputeThreads = None,
    streams_max: StreamsMax = None,
    held_bytes_max: HeldBytesMax = None,
    caller_calls_per_s: CallerCallsPerS = None,
    deadline_s: DeadlineS = None,
    connections_max: ConnectionsMax = None,
    connection_age_s: ConnectionAgeS = None,
    feed_poll_s: FeedPollS = None,
    notice_s: NoticeS = None,
    grace_s: GraceS = None,
    intake_config: IntakeConfig = None,
    log_format: LogFormat = None,
    log_level: LogLevel = None,
) -> None:
    """Serve until SIGTERM or Ctrl-C; defaults and origins are shown by `config show`."""
    flags = dict(locals())
    loaded = _load(flags, flags.pop("config_file"))
    logs.configure(loaded.config.log_format, loaded.config.log_level)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    try:
        server = Server(loaded.config)
        server.start(LoadProgress())
    except config.InvalidConfig as error:
        _fail(str(error), EXIT_USAGE)
    except (ImagewardError, OSError) as error:
        _fail(str(error), EXIT_FAILED)
    print(f"imageward-server {__version__} serving on port {server.port}", flush=True)  # noqa: T201 - what a person and a supervisor wait for
    stopping.wait()
    server.stop()


@config_app.command("show")
def config_show(
    config_file: ConfigFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show every setting, its value, and where the value comes from."""
    loaded = _load({}, config_file)
    rows = {
        name: {"value": _plain(getattr(loaded.config, name)), "origin": origin}
        for name, origin in loaded.origins.items()
    }
    rows["store_url"]["value"] = without_password(loaded.config.store_url)
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    table = Table("setting", "value", "origin", "meaning")
    for name, row in rows.items():
        table.add_row(name, str(row["value"]), str(row["origin"]), _field_help(name))
    Console().print(table)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


class LoadProgress:
    """Prints how far the start is, at most once a second and at the end of each part."""

    def __init__(self) -> None:
        self._next_s = 0.0

    def __call__(self, doing: str, done: int, in_all: int) -> None:
        """Report what is being done, how much of it is, and of how much."""
        now_s = time.monotonic()
        if in_all and (now_s >= self._next_s or done == in_all):
            self._next_s = now_s + REPORT_EVERY_S
            print(f"{doing}: {done:,} of {in_all:,}", file=sys.stderr, flush=True)  # noqa: T201 - progress is for the person who waits


def main() -> None:
    """Run the command."""
    app()


def _load(flags: dict[str, Any], file: Path | None) -> config.Loaded:
    try:
        return config.load(flags, file)
    except config.InvalidConfig as error:
        _fail(str(error), EXIT_USAGE)


def _plain(value: object) -> object:
    if isinstance(value, frozenset):
        return sorted(value)
    return value if isinstance(value, bool | int | float | str) else str(value)


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(f"imageward-server: {message}", err=True)
    raise typer.Exit(code)
