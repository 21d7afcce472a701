"""`imageward check`: is any of these files a banked picture?"""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from imageward_client import InvalidImage, Scope
from imageward_client.cli._exit import BY_VERDICT, EPILOG, ExitCode, most_severe
from imageward_client.cli._output import Row, error_row, note
from imageward_client.cli._session import Banks, Files, Json, Session, opened, read_image

COLUMNS = ("file", "verdict", "entry_ids", "quality", "completeness", "revision", "error")


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("check", epilog=EPILOG)(check)


def check(
    ctx: typer.Context,
    files: Files,
    *,
    surface: Annotated[
        str, typer.Option(help="Where the uploads would appear. Default: every bank is asked.")
    ] = "",
    bank: Banks = None,
    min_revision: Annotated[
        int, typer.Option(min=0, help="The lowest revision that may answer; 0 for any.")
    ] = 0,
    json: Json = False,
) -> None:
    """Check pictures against the banks.

    With --json one object a file: file, verdict, entry_ids, logged_entry_ids, quality,
    low_quality, completeness and revision, or file and error.
    """
    scope = Scope(surface, tuple(bank or ()), min_revision)
    codes: set[ExitCode] = set()
    with opened(ctx, json=json) as session:
        rows = (_checked(session, file, scope, codes) for file in files)
        session.output.rows(COLUMNS, rows)
    raise typer.Exit(most_severe(codes))


def _checked(session: Session, file: Path, scope: Scope, codes: set[ExitCode]) -> Row:
    try:
        answer = session.client.check_image(
            read_image(file),
            surface=scope.surface,
            banks=scope.banks,
            minimum_revision=scope.minimum_revision,
        )
    except InvalidImage as error:
        # This file's own fault: the others are still checked.
        codes.add(ExitCode.FAILED)
        note(f"not checked: {file}: {error}")
        return {"file": str(file), "verdict": None, "error": error_row(error)}
    codes.add(BY_VERDICT[answer.verdict])
    return {"file": str(file)} | asdict(answer)
