"""The root of the command: the options before it, and how errors are told."""

import os
import sys
from typing import Annotated

import typer

from imageward_client._defaults import TARGET, TIMEOUT_S
from imageward_client.cli import _export, _extras, _import, bank, check, entry, status
from imageward_client.cli._exit import EPILOG, ExitCode
from imageward_client.cli._output import note
from imageward_client.cli._session import BATCH_TIMEOUT_S, Settings
from imageward_client.cli._trust import (
    TOKEN_VARIABLE,
    Ca,
    Certificate,
    Key,
    TokenFile,
    UseTls,
    make_tls,
    read_token,
)
from imageward_client.errors import (
    BankNotFound,
    DeadlineExceeded,
    ImagewardClientError,
    Loading,
    Overloaded,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
)

# What to do, where the message cannot know it. Unavailable itself is the network's: the
# server's own reasons have classes below it.
HINTS: dict[type[ImagewardClientError], str] = {
    Loading: "wait for it with `imageward status --wait SECONDS`",
    Unavailable: "is imageward-server running there, and does it speak TLS or not as you do?"
    " --server or IMAGEWARD_SERVER name another",
    DeadlineExceeded: "give it more time with --timeout SECONDS, before the command",
    Overloaded: "try again later",
    Unauthenticated: "name your token's file with --token-file, or your certificate's",
    PermissionDenied: "OPERATIONS.md of the server says which role may",
    BankNotFound: "`imageward bank list` shows the banks, `imageward bank create` makes one",
}

app = typer.Typer(
    name="imageward",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    # Its frames would print what they hold, which may be hashes.
    pretty_exceptions_enable=False,
    epilog=EPILOG,
)
for _group in (check, status, bank, entry, _import, _export, _extras):
    _group.register(app)


@app.callback()
def root(
    ctx: typer.Context,
    *,
    server: Annotated[
        str,
        typer.Option(metavar="HOST:PORT", envvar="IMAGEWARD_SERVER", help="The server to ask."),
    ] = TARGET,
    timeout: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            min=0.001,
            help="Time for each call, retries included."
            f" Default: {TIMEOUT_S:g}; {BATCH_TIMEOUT_S:g} for entry add and import.",
        ),
    ] = None,
    token_file: TokenFile = None,
    tls: UseTls = False,
    ca: Ca = None,
    certificate: Certificate = None,
    key: Key = None,
    json: Annotated[
        bool,
        typer.Option("--json", help="Print JSON, one object a line; may also follow the command."),
    ] = False,
) -> None:
    """Ask an imageward server whether pictures are known, and keep its banks."""
    token = read_token(token_file, os.environ.get(TOKEN_VARIABLE))
    ways = make_tls(ca, certificate, key, tls=tls)
    ctx.obj = Settings(server, timeout, json, token, ways)


def main(arguments: list[str] | None = None) -> None:
    """Runs the command and exits.

    Args:
        arguments: the command line without the program; None for the process's own.
    """
    try:
        app(args=arguments, prog_name="imageward")
    except ImagewardClientError as error:
        _tell(error)
    except OSError as error:
        # Of a file that was named; the network's are ImagewardClientErrors.
        note(f"imageward: {error}")
    sys.exit(ExitCode.FAILED)


def _tell(error: ImagewardClientError) -> None:
    note(f"imageward: {error.message} [{error.reason or error.code or type(error).__name__}]")
    if type(error) in HINTS:
        note(f"imageward: {HINTS[type(error)]}")
