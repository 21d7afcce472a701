"""`imageward hash`: prints the PDQ hash of files. The client finds it as an entry point."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from imageward_index.decode import decode_grey
from imageward_index.errors import InvalidImage
from imageward_index.pdq import hash_grey

EXIT_FAILED = 1


def hash_files(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", exists=True, dir_okay=False, readable=True)
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Hash pictures here, without a server: prints `hash,quality,file` lines.

    Exit codes: 0 every file was hashed, 1 at least one could not be.
    """
    failed = False
    for file in files:
        try:
            pdq = hash_grey(decode_grey(file.read_bytes()))
        except InvalidImage as error:
            typer.echo(f"imageward: {file}: {error}", err=True)
            failed = True
            continue
        row = {"hash": pdq.hex, "quality": pdq.quality, "file": str(file)}
        typer.echo(json.dumps(row) if as_json else f"{pdq.hex},{pdq.quality},{file}")
    raise typer.Exit(EXIT_FAILED if failed else 0)
