"""The command `imageward-server`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any, NoReturn

import structlog
import typer
from rich.console import Console
from rich.table import Table

from imageward_server import __version__, config, logs
from imageward_server.access.command import certs_app, credentials_app
from imageward_server.audit.command import app as audit_app
from imageward_server.backup.command import backup, restore
from imageward_server.intake.command import app as intake_app
from imageward_server.key_file import AUDIT_KEY_VARIABLE
from imageward_server.keys.command import app as keys_app
from imageward_server.processes import serving
from imageward_server.processes.workers_command import show_workers
from imageward_server.segments_command import app as segments_app

log = structlog.get_logger(__name__)

EXIT_FAILED = 1
EXIT_USAGE = 2

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
app.add_typer(credentials_app, name="credentials")
app.add_typer(certs_app, name="certs")
app.add_typer(keys_app, name="keys")
app.add_typer(audit_app, name="audit")
app.command("workers")(show_workers)
app.command()(backup)
app.command()(restore)


def _field_help(name: str) -> str:
    return config.Config.model_fields[name].description or ""


ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", help=f"TOML file with any of the settings (or ${config.ENV_FILE})."),
]
DataDir = Annotated[Path | None, typer.Option(help=_field_help("data_dir"))]
StoreUrl = Annotated[str | None, typer.Option(help=_field_help("store_url"))]
Listen = Annotated[str | None, typer.Option(help=_field_help("listen"))]
WorkerCount = Annotated[int | None, typer.Option(help=_field_help("workers"))]
PinWorkers = Annotated[
    bool | None, typer.Option("--pin-workers/--no-pin-workers", help=_field_help("pin_workers"))
]
TlsCertificate = Annotated[Path | None, typer.Option(help=_field_help("tls_certificate"))]
TlsKey = Annotated[Path | None, typer.Option(help=_field_help("tls_key"))]
TlsClientCa = Annotated[Path | None, typer.Option(help=_field_help("tls_client_ca"))]
Insecure = Annotated[bool | None, typer.Option("--insecure", help=_field_help("insecure"))]
InsecureAnywhere = Annotated[
    bool | None, typer.Option("--insecure-anywhere", help=_field_help("insecure_anywhere"))
]
Surfaces = Annotated[
    list[str] | None, typer.Option("--surface", help=_field_help("surfaces") + " Repeat it.")
]
CallThreads = Annotated[int | None, typer.Option(help=_field_help("call_threads"))]
ComputeThreads = Annotated[int | None, typer.Option(help=_field_help("compute_threads"))]
CageCells = Annotated[int | None, typer.Option(help=_field_help("cage_cells"))]
CageSlowCells = Annotated[int | None, typer.Option(help=_field_help("cage_slow_cells"))]
StreamsMax = Annotated[int | None, typer.Option(help=_field_help("streams_max"))]
HeldBytesMax = Annotated[int | None, typer.Option(help=_field_help("held_bytes_max"))]
CallerCallsPerS = Annotated[float | None, typer.Option(help=_field_help("caller_calls_per_s"))]
DeadlineS = Annotated[float | None, typer.Option(help=_field_help("deadline_s"))]
ConnectionsMax = Annotated[int | None, typer.Option(help=_field_help("connections_max"))]
FeedPollS = Annotated[float | None, typer.Option(help=_field_help("feed_poll_s"))]
ConnectionAgeS = Annotated[float | None, typer.Option(help=_field_help("connection_age_s"))]
ConnectionIdleS = Annotated[float | None, typer.Option(help=_field_help("connection_idle_s"))]
ConnectionGraceS = Annotated[float | None, typer.Option(help=_field_help("connection_grace_s"))]
SealCodes = Annotated[int | None, typer.Option(help=_field_help("seal_codes"))]
StoreKeyFile = Annotated[Path | None, typer.Option(help=_field_help("store_key_file"))]
KeyDir = Annotated[Path | None, typer.Option(help=_field_help("key_dir"))]
EraseAfterH = Annotated[float | None, typer.Option(help=_field_help("erase_after_h"))]
EraseEveryS = Annotated[float | None, typer.Option(help=_field_help("erase_every_s"))]
NoticeS = Annotated[float | None, typer.Option(help=_field_help("notice_s"))]
GraceS = Annotated[float | None, typer.Option(help=_field_help("grace_s"))]
AuditKeyFile = Annotated[Path | None, typer.Option(help=_field_help("audit_key_file"))]
IntakeConfig = Annotated[Path | None, typer.Option(help=_field_help("intake_config"))]
HealthListen = Annotated[str | None, typer.Option(help=_field_help("health_listen"))]
MetricsListen = Annotated[str | None, typer.Option(help=_field_help("metrics_listen"))]
TracesEndpoint = Annotated[str | None, typer.Option(help=_field_help("traces_endpoint"))]
TracesShare = Annotated[float | None, typer.Option(help=_field_help("traces_share"))]
LogFormat = Annotated[str | None, typer.Option(help=_field_help("log_format") + " text or json.")]
LogLevel = Annotated[
    str | None, typer.Option(help=_field_help("log_level") + " debug, info, warning or error.")
]

TakeOver = Annotated[
    bool,
    typer.Option(
        "--take-over",
        help="Replace the server that runs on this data folder and port, without a gap.",
    ),
]


@app.command()
def serve(
    config_file: ConfigFile = None,
    data_dir: DataDir = None,
    store_url: StoreUrl = None,
    listen: Listen = None,
    workers: WorkerCount = None,
    pin_workers: PinWorkers = None,
    tls_certificate: TlsCertificate = None,
    tls_key: TlsKey = None,
    tls_client_ca: TlsClientCa = None,
    insecure: Insecure = None,
    insecure_anywhere: InsecureAnywhere = None,
    surfaces: Surfaces = None,
    call_threads: CallThreads = None,
    compute_threads: ComputeThreads = None,
    cage_cells: CageCells = None,
    cage_slow_cells: CageSlowCells = None,
    streams_max: StreamsMax = None,
    held_bytes_max: HeldBytesMax = None,
    caller_calls_per_s: CallerCallsPerS = None,
    deadline_s: DeadlineS = None,
    connections_max: ConnectionsMax = None,
    connection_age_s: ConnectionAgeS = None,
    feed_poll_s: FeedPollS = None,
    connection_idle_s: ConnectionIdleS = None,
    connection_grace_s: ConnectionGraceS = None,
    seal_codes: SealCodes = None,
    store_key_file: StoreKeyFile = None,
    key_dir: KeyDir = None,
    erase_after_h: EraseAfterH = None,
    erase_every_s: EraseEveryS = None,
    notice_s: NoticeS = None,
    grace_s: GraceS = None,
    audit_key_file: AuditKeyFile = None,
    intake_config: IntakeConfig = None,
    health_listen: HealthListen = None,
    metrics_listen: MetricsListen = None,
    traces_endpoint: TracesEndpoint = None,
    traces_share: TracesShare = None,
    log_format: LogFormat = None,
    log_level: LogLevel = None,
    take_over: TakeOver = False,
) -> None:
    """Serve until SIGTERM or Ctrl-C.

    SIGUSR2 restarts the workers, one after the other; SIGHUP reads who may call again.

    Defaults and origins are shown by `config show --origin`.
    """
    flags = dict(locals())
    del flags["take_over"]
    file = flags.pop("config_file")
    loaded = _load(flags, file)
    logs.configure(loaded.config.log_format, loaded.config.log_level)
    _check_files(loaded.config)
    try:
        code = serving.serve(
            loaded.config, lambda: config.load(flags, file).config, take_over=take_over
        )
    except config.InvalidConfig as error:
        _fail(str(error), EXIT_USAGE)
    except OSError as error:
        _fail(str(error), EXIT_FAILED)
    raise typer.Exit(code)


@config_app.command("show")
def config_show(
    config_file: ConfigFile = None,
    origin: Annotated[
        bool, typer.Option("--origin", help="Show where each value comes from, too.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show every setting and its value; of credentials the names and roles."""
    loaded = _load({}, config_file)
    rows = {name: {"value": _plain(getattr(loaded.config, name))} for name in loaded.origins}
    from imageward_server.store.engine import without_password  # noqa: PLC0415 - `serve` becomes the supervisor, which shall not hold SQLAlchemy

    rows["store_url"]["value"] = without_password(loaded.config.store_url)
    if origin:
        for name, row in rows.items():
            row["origin"] = loaded.origins[name]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    table = Table("setting", *next(iter(rows.values())), "meaning")
    for name, row in rows.items():
        table.add_row(name, *map(str, row.values()), _field_help(name))
    Console().print(table)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def main() -> None:
    """Run the command."""
    app()


def _load(flags: dict[str, Any], file: Path | None) -> config.Loaded:
    try:
        return config.load(flags, file)
    except config.InvalidConfig as error:
        _fail(str(error), EXIT_USAGE)


def _check_files(loaded: config.Config) -> None:
    """End the start here rather than in every worker, if a file that is named cannot be used.

    What reads them is imported where it is used: `serve` becomes the supervisor, which
    shall be light.
    """
    try:
        if loaded.has_tls:
            _check_tls(loaded)
        _check_audit_key(loaded)
        _check_store_key(loaded)
        if loaded.intake_config:
            _check_intake(loaded.intake_config)
    except config.InvalidConfig as error:
        _fail(str(error), EXIT_USAGE)


def _check_tls(loaded: config.Config) -> None:
    from imageward_server.access.certificate_files import certificate_files  # noqa: PLC0415 - see above

    certificate_files(loaded).read()


def _check_audit_key(loaded: config.Config) -> None:
    # A key that is not named is made by the first worker.
    if loaded.audit_key_file is None and AUDIT_KEY_VARIABLE not in os.environ:
        return
    from imageward_server.audit.keys import load_keys  # noqa: PLC0415 - see above

    load_keys(loaded.audit_key_file, loaded.data_dir)


def _check_intake(file: Path) -> None:
    from imageward_server.intake.keys import load_master_key  # noqa: PLC0415 - see above
    from imageward_server.intake.settings import load_settings  # noqa: PLC0415 - see above

    load_master_key(load_settings(file).master_key_file)


def _check_store_key(loaded: config.Config) -> None:
    from imageward_server.keys.vault import find_vault  # noqa: PLC0415 - see above

    if find_vault(loaded) is None:
        log.warning(
            "THE STORE IS NOT ENCRYPTED: hashes and segments lie in clear, and what is erased "
            "stays in backups",
            hint="make a key with `imageward-server keys new`, and set store_key_file",
        )


def _plain(value: object) -> object:
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, dict):
        return {name: str(credential.role) for name, credential in value.items()}
    return value if isinstance(value, bool | int | float | str) else str(value)


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(f"imageward-server: {message}", err=True)
    raise typer.Exit(code)
