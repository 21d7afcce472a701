"""The command `imageward-server audit`: verifies, exports, shows and makes keys, renews."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from imageward_server.operator_command import (
    EXIT_USAGE,
    AuditKeyFile,
    ConfigFile,
    DataDir,
    Reason,
    StoreUrl,
    fail,
    load_config,
    opened_store,
    operator,
)

if TYPE_CHECKING:
    from imageward_server.audit.row import Checkpoint
    from imageward_server.audit.verify import Evidence

app = typer.Typer(
    no_args_is_help=True,
    help="Verifies and exports the audit: who did what, when and why.",
    epilog="Exit codes: 0 fine, 1 the audit is not whole or cannot be read, 2 wrong usage.",
)


@app.command()
def verify(
    kept: Annotated[
        Path | None, typer.Option(help="Checkpoints kept elsewhere: an export, or a JSON log.")
    ] = None,
    config_file: ConfigFile = None,
    data_dir: DataDir = None,
    store_url: StoreUrl = None,
    audit_key_file: AuditKeyFile = None,
) -> None:
    """Read the whole audit and say whether it is what was written."""
    from imageward_server.audit.store_evidence import collect  # noqa: PLC0415 - see operator_command
    from imageward_server.audit.verify import find_fault  # noqa: PLC0415 - see operator_command

    loaded = load_config(config_file, data_dir, store_url, audit_key_file)
    with opened_store(loaded) as store, collect(store, _read_kept(kept)) as evidence:
        keys = store.audit_keys
        fault = find_fault(evidence, keys.public, keys)
        if fault is not None:
            fail(f"row {fault.number} {fault.what}")
        typer.echo(_describe(evidence))


@app.command("verify-export")
def verify_export(
    file: Annotated[Path, typer.Argument(help="What `audit export` wrote.", exists=True)],
    public_key: Annotated[str, typer.Argument(help="What `audit public-key` prints.")],
) -> None:
    """Judge an export by its signed checkpoints; it takes no secret."""
    from imageward_index.errors import ImagewardError  # noqa: PLC0415 - see operator_command
    from imageward_server.audit.evidence import read_export  # noqa: PLC0415 - see operator_command
    from imageward_server.audit.keys import read_public_key  # noqa: PLC0415 - see operator_command
    from imageward_server.audit.verify import find_fault  # noqa: PLC0415 - see operator_command

    try:
        key = read_public_key(public_key)
    except ValueError:
        fail("a public key is 64 hexadecimal digits; `audit public-key` prints it", EXIT_USAGE)
    try:
        with read_export(file) as evidence:
            fault = find_fault(evidence, key, None)
    except ImagewardError as error:
        fail(str(error))
    if fault is not None:
        fail(f"row {fault.number} {fault.what}")
    typer.echo(_describe(evidence))


@app.command()
def export(
    file: Annotated[
        Path | None, typer.Argument(help="Where to write it; it must not exist. Default: stdout.")
    ] = None,
    config_file: ConfigFile = None,
    data_dir: DataDir = None,
    store_url: StoreUrl = None,
    audit_key_file: AuditKeyFile = None,
) -> None:
    """Write all rows and checkpoints as JSON lines."""
    from imageward_server.audit.evidence import write_lines  # noqa: PLC0415 - see operator_command
    from imageward_server.audit.store_evidence import collect  # noqa: PLC0415 - see operator_command

    loaded = load_config(config_file, data_dir, store_url, audit_key_file)
    with opened_store(loaded) as store, collect(store, []) as evidence, _written(file) as out:
        for line in write_lines(evidence, store.audit_keys.public.raw):
            out.write(line + "\n")


@app.command("public-key")
def show_public_key(
    config_file: ConfigFile = None,
    data_dir: DataDir = None,
    store_url: StoreUrl = None,
    audit_key_file: AuditKeyFile = None,
) -> None:
    """Print the key that checkpoints are verified with; it may be published."""
    with opened_store(load_config(config_file, data_dir, store_url, audit_key_file)) as store:
        typer.echo(store.audit_keys.public.raw.hex())


@app.command("new-key")
def make_key(
    file: Annotated[Path, typer.Argument(help="Where to write it; it must not exist.")],
) -> None:
    """Make a key for the audit, in a file that only you can read."""
    from imageward_server.audit.keys import make_key_file  # noqa: PLC0415 - see operator_command

    if file.exists():
        fail(f"{file} exists; name another file")
    try:
        make_key_file(file)
    except OSError as error:
        fail(f"the key cannot be written: {error}")


@app.command()
def renew(
    reason: Reason,
    config_file: ConfigFile = None,
    data_dir: DataDir = None,
    store_url: StoreUrl = None,
    audit_key_file: AuditKeyFile = None,
) -> None:
    """Go on under another key, because the old one is lost or known. Stop the server first.

    What was written stays, and is covered by the first row under the new key.
    """
    loaded = load_config(config_file, data_dir, store_url, audit_key_file)
    with opened_store(loaded, makes_key=True) as store:
        store.renew_audit(operator(reason))


def _read_kept(file: Path | None) -> list[Checkpoint]:
    from imageward_index.errors import ImagewardError  # noqa: PLC0415 - see operator_command
    from imageward_server.audit.evidence import read_checkpoints  # noqa: PLC0415 - see operator_command

    if file is None:
        return []
    try:
        with file.open() as opened:
            found = read_checkpoints(opened)
    except (OSError, UnicodeDecodeError, ImagewardError) as error:
        fail(f"{file} cannot be read: {error}")
    if not found:
        fail(f"{file} holds no checkpoint; name an export, or a log of JSON lines", EXIT_USAGE)
    return found


@contextmanager
def _written(file: Path | None) -> Iterator[TextIO]:
    if file is None:
        yield sys.stdout
        return
    with file.open("x") as opened:
        file.chmod(0o600)
        yield opened


def _describe(evidence: Evidence) -> str:
    head = evidence.head
    return (
        f"whole: {head.number:,} rows, under this key from row {head.first:,} on; "
        f"{len(evidence.checkpoints):,} checkpoints, the last of row {head.checkpoint:,}"
    )
