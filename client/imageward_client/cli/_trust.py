"""The options that say who calls, and how the server is known."""

from pathlib import Path
from typing import Annotated

import typer

from imageward_client._tls import Tls

TOKEN_VARIABLE = "IMAGEWARD_TOKEN"  # noqa: S105 - the variable's name
# A token is a name and 43 characters; a longer file is another one.
TOKEN_CHARS_MAX = 512


def _file(variable: str, text: str) -> object:
    return typer.Option(
        metavar="FILE", envvar=variable, exists=True, dir_okay=False, help=f"{text}; implies --tls."
    )


TokenFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        envvar="IMAGEWARD_TOKEN_FILE",
        exists=True,
        dir_okay=False,
        help=f"File with your token NAME.SECRET; or set ${TOKEN_VARIABLE} to it.",
    ),
]
UseTls = Annotated[bool, typer.Option("--tls", help="Call by TLS.", envvar="IMAGEWARD_TLS")]
Ca = Annotated[Path | None, _file("IMAGEWARD_CA", "PEM of the server's authority")]
Certificate = Annotated[Path | None, _file("IMAGEWARD_CERTIFICATE", "PEM of your certificate")]
Key = Annotated[Path | None, _file("IMAGEWARD_KEY", "PEM of its private key")]


def make_tls(
    ca: Path | None, certificate: Path | None, key: Path | None, *, tls: bool
) -> Tls | None:
    """Returns how to speak TLS; None where nothing asks for it."""
    if not (tls or ca or certificate or key):
        return None
    try:
        return Tls(ca, certificate, key)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def read_token(file: Path | None, variable: str | None) -> str:
    """Returns the token of a file, or else of the environment; empty without either."""
    if file is None:
        return (variable or "").strip()
    with file.open() as opened:
        return opened.read(TOKEN_CHARS_MAX).strip()
