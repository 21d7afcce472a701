"""The option that names the file of a benchmark's figures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def _with_folder(file: Path | None) -> Path | None:
    """Make its folder now: an hour's figures are not lost for want of one at the end."""
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
    return file


JsonFile = Annotated[
    Path | None, typer.Option("--json", help="File for the figures.", callback=_with_folder)
]
