"""`imageward entry add`: bank pictures, in batches that fit a call."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from imageward_client import AddResult, ImagewardClientError
from imageward_client._limits import BATCH_COUNT_MAX, IMAGE_BYTES_MAX
from imageward_client._rebuild import refused
from imageward_client.cli._exit import ExitCode
from imageward_client.cli._output import Row, error_row, note, progress
from imageward_client.cli._session import (
    BATCH_TIMEOUT_S,
    Files,
    IntoBank,
    Json,
    Session,
    opened,
    read_image,
)

# Well under what the server reads at once, so that a batch is answered in seconds.
BATCH_BYTES = 24_000_000
COLUMNS = ("file", "entry_id", "quality", "refusal")


@dataclass(frozen=True, slots=True)
class Picture:
    """A file and its bytes; None for a file over the bound."""

    path: Path
    data: bytes | None


def add(
    ctx: typer.Context,
    files: Files,
    *,
    bank: IntoBank,
    reference: Annotated[
        str,
        typer.Option(
            help="Your own number for all of these, 0..128 characters. Not a person's name."
        ),
    ] = "",
    json: Json = False,
) -> None:
    """Bank pictures; each is hashed by the server and not kept.

    With --json one object a file: file and entry_id, or file and refusal. Each call has 60 s
    unless --timeout says otherwise.
    """
    refusals: list[ImagewardClientError] = []
    with opened(ctx, json=json, default_timeout_s=BATCH_TIMEOUT_S) as session:
        rows = _added(session, bank, reference, files, refusals)
        session.output.rows(COLUMNS, rows)
    raise typer.Exit(ExitCode.REFUSED if refusals else ExitCode.OK)


def _added(
    session: Session,
    bank: str,
    reference: str,
    files: list[Path],
    refusals: list[ImagewardClientError],
) -> Iterator[Row]:
    with progress("banking", len(files)) as advance:
        for batch in batches(map(_picture, files)):
            for picture, result in zip(
                batch, _results(session, bank, reference, batch), strict=True
            ):
                if result.refusal:
                    refusals.append(result.refusal)
                    note(f"refused: {picture.path}: {result.refusal}")
                yield _row(picture.path, result)
            advance(len(batch))


def batches(pictures: Iterator[Picture]) -> Iterator[list[Picture]]:
    """Yields pictures in lists of at most 24 MB and 1,024, in order."""
    batch: list[Picture] = []
    batch_bytes = 0
    for picture in pictures:
        picture_bytes = len(picture.data or b"")
        if batch and (batch_bytes + picture_bytes > BATCH_BYTES or len(batch) == BATCH_COUNT_MAX):
            yield batch
            batch, batch_bytes = [], 0
        batch.append(picture)
        batch_bytes += picture_bytes
    if batch:
        yield batch


def _picture(path: Path) -> Picture:
    data = read_image(path)
    return Picture(path, None if len(data) > IMAGE_BYTES_MAX else data)


def _results(
    session: Session, bank: str, reference: str, batch: list[Picture]
) -> Iterator[AddResult]:
    """Yields one result a picture; those over the bound are not sent."""
    images = [picture.data for picture in batch if picture.data is not None]
    references = [reference] * len(images)
    sent = (
        iter(session.client.add_entries(bank, images=images, references=references).results)
        if images
        else iter(())
    )
    for picture in batch:
        yield _too_large() if picture.data is None else next(sent)


def _too_large() -> AddResult:
    message = f"The file has more than {IMAGE_BYTES_MAX:,} bytes. Send a smaller rendition."
    return AddResult(None, refused("IMAGE_TOO_LARGE", message), None)


def _row(path: Path, result: AddResult) -> Row:
    row = {"file": str(path), "entry_id": result.entry_id, "quality": result.quality}
    return row if result.refusal is None else row | {"refusal": error_row(result.refusal)}
