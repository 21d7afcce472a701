"""`imageward export`: write a bank's hashes as the field's text lines."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from imageward_client import EntryState, PdqHash
from imageward_client.cli._lines import HashLine, MalformedLine, format_line
from imageward_client.cli._output import note, print_json, progress
from imageward_client.cli._session import IntoBank, Json, Session, opened


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("export")(export)


def export(
    ctx: typer.Context,
    *,
    bank: IntoBank,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            dir_okay=False,
            help="Write to this file, readable by you alone. Default: standard output.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Write the hashes of a bank's active entries, one PDQ text line each.

    `imageward import` reads the lines back as the same hashes, qualities and references.
    They are personal data. With --json and -o one object: bank, file, exported and
    references_left_out; without -o the lines are the output and --json changes nothing.
    """
    with opened(ctx, json=json) as session:
        counts = _exported(session, bank, output)
        note(f"{counts['exported']:,} exported from {bank}")
        if counts["references_left_out"]:
            note(f"{counts['references_left_out']:,} references hold line breaks and were left out")
        if output and session.output.json:
            print_json({"bank": bank, "file": str(output)} | counts)


def _exported(session: Session, bank: str, output: Path | None) -> dict[str, int]:
    counts = {"exported": 0, "references_left_out": 0}
    with _opened(output) as stream, progress(f"exporting {bank}", None) as advance:
        for entry in session.client.list_entries(bank, EntryState.ACTIVE):
            if entry.hash is None:  # erased in this moment
                continue
            line, is_whole = _line(entry.hash, entry.reference)
            stream.write(line.encode() + b"\n")
            counts["exported"] += 1
            counts["references_left_out"] += not is_whole
            advance(1)
    return counts


def _line(pdq: PdqHash, reference: str) -> tuple[str, bool]:
    """Returns an entry's line, and whether its reference is in it."""
    try:
        return format_line(HashLine(pdq, reference)), True
    except MalformedLine:
        return format_line(HashLine(pdq)), False


@contextmanager
def _opened(path: Path | None) -> Iterator[BinaryIO]:
    """Yields standard output, or a file that takes its name only once it is whole."""
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    # mkstemp makes it readable by its owner alone.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    part = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(descriptor)
        part.replace(path)
    finally:
        # Gone already where the export came to its end.
        part.unlink(missing_ok=True)
