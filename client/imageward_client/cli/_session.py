"""What every command shares: the options, the client they make, and files read."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from imageward_client import Client
from imageward_client._defaults import TIMEOUT_S
from imageward_client._limits import IMAGE_BYTES_MAX
from imageward_client._tls import Tls
from imageward_client.cli._output import Output

# A batch is hashed and made durable before it is answered.
BATCH_TIMEOUT_S = 60.0

Json = Annotated[
    bool, typer.Option("--json", help="Print JSON: one object a line, on standard output.")
]
Files = Annotated[
    list[Path],
    typer.Argument(
        metavar="FILE",
        exists=True,
        dir_okay=False,
        readable=True,
        help=f"Pictures, at most {IMAGE_BYTES_MAX:,} bytes each.",
    ),
]
Banks = Annotated[
    list[str] | None,
    typer.Option("--bank", metavar="NAME", help="Ask only this bank; repeat it. Default: all."),
]
IntoBank = Annotated[str, typer.Option("--bank", metavar="NAME", help="The bank's name.")]


@dataclass(frozen=True, slots=True)
class Settings:
    """The options before the command.

    Attributes:
        target: the server.
        timeout_s: seconds for each call; None for the command's own default.
        json: whether JSON is printed.
        token: who calls; empty for nobody.
        tls: how the server is known; None for no TLS.
    """

    target: str
    timeout_s: float | None
    json: bool
    token: str = field(repr=False)
    tls: Tls | None


@dataclass(frozen=True, slots=True)
class Session:
    """A client and where its answers are printed."""

    target: str
    client: Client
    output: Output


@contextmanager
def opened(
    ctx: typer.Context, *, json: bool, default_timeout_s: float = TIMEOUT_S
) -> Iterator[Session]:
    """Yields a session as the options before and after the command say."""
    settings: Settings = ctx.obj
    timeout_s = settings.timeout_s or default_timeout_s
    try:
        made = Client(settings.target, timeout_s=timeout_s, token=settings.token, tls=settings.tls)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    with made as client:
        yield Session(settings.target, client, Output(json=json or settings.json))


def read_image(path: Path) -> bytes:
    """Returns a file's bytes; one byte over the bound, if it has more, and no further."""
    with path.open("rb") as file:
        return file.read(IMAGE_BYTES_MAX + 1)
