"""The commands `imageward-server credentials` and `imageward-server certs`.

What they work with is imported where it is used: `serve` imports this module too, and
becomes the supervisor, which shall be light.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from imageward_server.access import Role, hash_secret, new_secret
from imageward_server.access.identity import NAME_PATTERN, ROLES

EXIT_FAILED = 1

credentials_app = typer.Typer(no_args_is_help=True, help="Makes credentials of callers.")
certs_app = typer.Typer(no_args_is_help=True, help="Makes certificates for development.")


def _read_name(name: str) -> str:
    if not re.fullmatch(NAME_PATTERN, name):
        raise typer.BadParameter("up to 63 small letters, digits, '_' and '-'; a letter first")
    return name


def _read_role(role: Role) -> Role:
    if role not in ROLES:
        raise typer.BadParameter(f"no credential has it; use {', '.join(ROLES)}")
    return role


@credentials_app.command("new")
def make_credential(
    name: Annotated[
        str, typer.Argument(callback=_read_name, help="Small letters, digits, '_' and '-'.")
    ],
    role: Annotated[Role, typer.Option(callback=_read_role, help="What it may.")],
) -> None:
    """Make a token, shown once on stderr, and the lines for the configuration on stdout."""
    secret = new_secret()
    typer.echo(f"token of {name}, shown this once: {name}.{secret}", err=True)
    typer.echo(f'[credentials.{name}]\nrole = "{role}"\nsecret_hash = "{hash_secret(secret)}"')


@certs_app.command("dev")
def make_certificates(
    folder: Annotated[Path, typer.Argument(help="Where to; one that has an authority keeps it.")],
) -> None:
    """Make an authority, a server's certificate for loopback, and one of each role."""
    from imageward_server.access.dev_certificates import make_all  # noqa: PLC0415 - see above

    try:
        made = make_all(folder)
    except (OSError, ValueError) as error:
        typer.echo(f"imageward-server: certificates cannot be made: {error}", err=True)
        raise typer.Exit(EXIT_FAILED) from error
    for file in made:
        typer.echo(str(file))


# With one command alone, typer would take it for the application itself.
@certs_app.callback()
@credentials_app.callback()
def _group() -> None: ...
