"""The command `imageward-server keys`: makes, changes and takes up the store's master key.

What it works with is imported where it is used: see `operator_command`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imageward_server import config
from imageward_server.operator_command import (
    EXIT_USAGE,
    AuditKeyFile,
    ConfigFile,
    DataDir,
    Reason,
    fail,
    opened_store,
    operator,
)

if TYPE_CHECKING:
    from imageward_server.config import Config
    from imageward_server.keys.vault import Vault

app = typer.Typer(no_args_is_help=True, help="Keeps the keys that the store is encrypted with.")

StoreKeyFile = Annotated[
    Path | None, typer.Option(help="File of the master key, if not in the environment.")
]
KeyDir = Annotated[Path | None, typer.Option(help="Folder of the entries' keys.")]


@app.command("new")
def make_key(
    file: Annotated[Path, typer.Argument(help="Where to write it; it must not exist.")],
) -> None:
    """Make a master key, in a file that only you can read."""
    from imageward_server.key_file import make_key_file  # noqa: PLC0415 - see above

    try:
        make_key_file(file)
    except OSError as error:
        fail(f"the key cannot be written: {error}")


@app.command()
def rotate(
    new_key_file: Annotated[Path, typer.Argument(help="File of the new master key.")],
    reason: Reason = "",
    config_file: ConfigFile = None,
    data_dir: DataDir = None,
    store_key_file: StoreKeyFile = None,
    key_dir: KeyDir = None,
    audit_key_file: AuditKeyFile = None,
) -> None:
    """Wrap the store's key with another master key. Stop the server first, then name the new one.

    Nothing else is written, however large the store is. What was cut off can be done again.
    """
    from imageward_server.key_file import load_key  # noqa: PLC0415 - see above
    from imageward_server.keys.vault import KEY_VARIABLE, MAKER  # noqa: PLC0415 - see above

    with _vault_of(
        config_file,
        data_dir=data_dir,
        store_key_file=store_key_file,
        key_dir=key_dir,
        audit_key_file=audit_key_file,
    ) as (loaded, vault):
        new_key = load_key(new_key_file, KEY_VARIABLE, MAKER)
        _audit(loaded, reason, "rotate store key")
        vault.rotate(new_key)
    typer.echo("rotated: set store_key_file to the new key, then destroy the old one")


@app.command()
def adopt(
    reason: Reason = "",
    config_file: ConfigFile = None,
    data_dir: DataDir = None,
    store_key_file: StoreKeyFile = None,
    key_dir: KeyDir = None,
    audit_key_file: AuditKeyFile = None,
) -> None:
    """Give the keys to a store that was restored from a backup; the one before must not run again.

    For a trial, restore beside a copy of the folder of the keys.
    """
    from imageward_server.store import Store  # noqa: PLC0415 - see above
    from imageward_server.store.engine import store_url  # noqa: PLC0415 - see above

    with _vault_of(
        config_file,
        data_dir=data_dir,
        store_key_file=store_key_file,
        key_dir=key_dir,
        audit_key_file=audit_key_file,
    ) as (loaded, vault):
        _audit(loaded, reason, "adopt store key")
        store = Store(store_url(loaded.data_dir, ""))
        try:
            vault.adopt(store.store_id(), store.last_serial())
        finally:
            store.close()


@app.command("encrypt-store")
def encrypt_store(
    reason: Reason = "",
    config_file: ConfigFile = None,
    data_dir: DataDir = None,
    store_key_file: StoreKeyFile = None,
    key_dir: KeyDir = None,
    audit_key_file: AuditKeyFile = None,
) -> None:
    """Encrypt a store that is in clear, and remove its segments. Stop the server first.

    It needs the store's size once more on the disk. What was cut off goes on when it is
    called again.
    """
    from imageward_server.store import Store  # noqa: PLC0415 - see above
    from imageward_server.store.engine import store_url  # noqa: PLC0415 - see above

    with _vault_of(
        config_file,
        data_dir=data_dir,
        store_key_file=store_key_file,
        key_dir=key_dir,
        audit_key_file=audit_key_file,
    ) as (loaded, vault):
        _audit(loaded, reason, "encrypt store")
        _remove_segments(loaded.data_dir)
        store = Store(store_url(loaded.data_dir, ""), vault=vault)
        try:
            store.encrypt(lambda done: typer.echo(f"encrypted: {done:,} entries", err=True))
        finally:
            store.close()


@contextmanager
def _vault_of(config_file: Path | None, **flags: Path | None) -> Iterator[tuple[Config, Vault]]:
    """Find the keys of a server that is stopped; end the command with what is wrong."""
    from imageward_index.errors import ImagewardError  # noqa: PLC0415 - see above
    from imageward_server.keys.vault import find_vault  # noqa: PLC0415 - see above
    from imageward_server.processes.roster import read_rosters  # noqa: PLC0415 - see above

    try:
        loaded = config.load(flags, config_file).config
        vault = find_vault(loaded)
        if vault is None:
            fail("no key is named; set store_key_file or IMAGEWARD_STORE_KEY", EXIT_USAGE)
        if read_rosters(loaded.data_dir):
            fail("a server runs on this data folder; stop it first")
        yield loaded, vault
    except config.InvalidConfig as error:
        fail(str(error), EXIT_USAGE)
    except (ImagewardError, OSError) as error:
        fail(str(error))


def _audit(loaded: Config, reason: str, action: str) -> None:
    """Write down who is about to do it; a store that is not there ends the command."""
    with opened_store(loaded) as store:
        store.audit(operator(reason), action)


def _remove_segments(data_dir: Path) -> None:
    """Remove copies in clear; the next start writes them anew."""
    from imageward_server.replica import CODE_SEGMENTS, HASH_SEGMENTS  # noqa: PLC0415 - see above

    for folder in (data_dir / HASH_SEGMENTS, data_dir / CODE_SEGMENTS):
        for path in folder.glob("*") if folder.exists() else ():
            path.unlink()
