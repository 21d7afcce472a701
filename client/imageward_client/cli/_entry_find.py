"""`imageward entry find`: the reviewer's question, with distances."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from imageward_client import InvalidImage
from imageward_client.cli._exit import ExitCode
from imageward_client.cli._output import Row, error_row, note
from imageward_client.cli._session import Banks, Files, Json, Session, opened, read_image

COLUMNS = ("file", "entry_id", "bank", "method", "certain", "distance_bits", "coverage")
RADIUS_BITS_MAX = 63


def find(
    ctx: typer.Context,
    files: Files,
    *,
    bank: Banks = None,
    radius: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=RADIUS_BITS_MAX,
            help="Largest distance shown, in bits. Default: each bank's own radius.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Show which entries are in pictures, by what they were found, and how surely.

    For reviewers: an upload frontend uses `check`. Disabled banks are asked too.
    With --json one object a match: file, entry_id, bank, method, certain, distance_bits,
    orientation, coverage, inliers, corners_in_query, corners_in_entry.
    """
    failed: list[Path] = []
    with opened(ctx, json=json) as session:
        rows = (row for file in files for row in _found(session, file, bank or [], radius, failed))
        session.output.rows(COLUMNS, rows)
    raise typer.Exit(ExitCode.FAILED if failed else ExitCode.OK)


def _found(
    session: Session, file: Path, banks: list[str], radius: int | None, failed: list[Path]
) -> Iterator[Row]:
    try:
        answer = session.client.find_matches(image=read_image(file), banks=banks, radius=radius)
    except InvalidImage as error:
        failed.append(file)
        note(f"not looked for: {file}: {error}")
        yield {"file": str(file), "error": error_row(error)}
        return
    for match in answer.matches:
        yield {"file": str(file)} | asdict(match)
