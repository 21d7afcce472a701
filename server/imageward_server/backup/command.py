"""The commands `imageward-server backup` and `imageward-server restore`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from imageward_server.config import InvalidConfig
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


def backup(
    file: Annotated[Path, typer.Argument(help="Where to write it; it must not exist.")],
    reason: Reason = "",
    config_file: ConfigFile = None,
    data_dir: DataDir = None,
    store_url: StoreUrl = None,
    audit_key_file: AuditKeyFile = None,
) -> None:
    """Write the store to one file, while the server serves."""
    from imageward_server.backup.make import make_backup  # noqa: PLC0415 - see operator_command

    loaded = load_config(config_file, data_dir, store_url, audit_key_file)
    with opened_store(loaded) as store:
        label = make_backup(store, file, operator(reason))
    typer.echo(f"revision {label.revision}, {label.database_bytes:,} bytes")


def restore(
    file: Annotated[Path, typer.Argument(help="What `backup` wrote.", exists=True)],
    reason: Reason = "",
    renew_audit: Annotated[
        bool, typer.Option("--renew-audit", help="The audit's key is lost: go on under another.")
    ] = False,
    config_file: ConfigFile = None,
    data_dir: DataDir = None,
    audit_key_file: AuditKeyFile = None,
) -> None:
    """Make a store in an empty data folder from a backup."""
    from imageward_index.errors import ImagewardError  # noqa: PLC0415 - see operator_command
    from imageward_server.audit.keys import load_keys  # noqa: PLC0415 - see operator_command
    from imageward_server.backup import restore as parts  # noqa: PLC0415 - see operator_command

    loaded = load_config(config_file, data_dir, None, audit_key_file)
    if loaded.store_url:
        fail("store_url is set: restore that database by its own means", EXIT_USAGE)
    try:
        parts.require_empty(loaded.data_dir)
        loaded.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        keys = load_keys(loaded.audit_key_file, loaded.data_dir, makes_key=renew_audit)
        label = parts.restore(
            file, loaded.data_dir, keys, operator(reason), renews_audit=renew_audit
        )
    except InvalidConfig as error:
        fail(str(error), EXIT_USAGE)
    except (ImagewardError, OSError) as error:
        fail(str(error))
    typer.echo(f"revision {label.revision}, as of the backup")
