"""What the commands of an operator share: the configuration, the store, the operator's name.

What loads the store is imported where it is used: `imageward-server serve` loads the
commands too, and becomes the supervisor, which shall be light.
"""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import typer

from imageward_server import config
from imageward_server.config import Config

if TYPE_CHECKING:
    from imageward_server.audit.row import Actor
    from imageward_server.store import Store

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
_ROLE: Final = "operator"

ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="TOML file of the server's settings.")
]
DataDir = Annotated[Path | None, typer.Option(help="Data folder of the server.")]
StoreUrl = Annotated[str | None, typer.Option(help="URL of the store, if it is not in there.")]
AuditKeyFile = Annotated[Path | None, typer.Option(help="File of the audit's key.")]
Reason = Annotated[str, typer.Option(help="Why, for the audit.")]


def load_config(
    config_file: Path | None,
    data_dir: Path | None,
    store_url: str | None,
    audit_key_file: Path | None,
) -> Config:
    """Read the configuration as the server does, or end the command."""
    flags = {"data_dir": data_dir, "store_url": store_url, "audit_key_file": audit_key_file}
    try:
        return config.load(flags, config_file).config
    except config.InvalidConfig as error:
        fail(str(error), EXIT_USAGE)


def operator(reason: str) -> Actor:
    """Name who runs the command, by their account on this machine."""
    from imageward_server.audit.row import REASON_CHARS_MAX, Actor  # noqa: PLC0415 - see above

    if len(reason) > REASON_CHARS_MAX:
        fail(f"the reason has {len(reason)} characters; say it in {REASON_CHARS_MAX}", EXIT_USAGE)
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        name = "operator"
    return Actor(name, _ROLE, reason)


@contextmanager
def opened_store(loaded: Config, *, makes_key: bool = False) -> Iterator[Store]:
    """Open the store of a server that there is, for reading and for rows of the audit.

    Args:
        loaded: where it is.
        makes_key: make the audit's key, where none is named and none is in the data folder.
    """
    from imageward_index.errors import ImagewardError  # noqa: PLC0415 - see above
    from imageward_server.audit.keys import load_keys  # noqa: PLC0415 - see above
    from imageward_server.store import Store  # noqa: PLC0415 - see above
    from imageward_server.store.engine import require_file, store_url  # noqa: PLC0415 - see above

    try:
        require_file(loaded.data_dir, loaded.store_url)
        keys = load_keys(loaded.audit_key_file, loaded.data_dir, makes_key=makes_key)
        store = Store(store_url(loaded.data_dir, loaded.store_url), keys=keys)
        try:
            store.require_upgraded()
            yield store
        finally:
            store.close()
    except config.InvalidConfig as error:
        fail(str(error), EXIT_USAGE)
    except (ImagewardError, OSError) as error:
        fail(str(error), EXIT_FAILED)


def fail(message: str, code: int = EXIT_FAILED) -> NoReturn:
    """End the command with a message."""
    typer.echo(f"imageward-server: {message}", err=True)
    raise typer.Exit(code)
