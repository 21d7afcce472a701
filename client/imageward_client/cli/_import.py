"""`imageward import`: bank the hashes of an exchanged list.

A list is read a line at a time and sent in batches of 1,024. A batch's request
id is made of its bank, place and contents, so that an import that broke off can
be run again: what was banked is not banked twice.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from imageward_client import AddAnswer
from imageward_client._limits import BATCH_COUNT_MAX
from imageward_client.cli._exit import EPILOG, ExitCode
from imageward_client.cli._lines import HashLine, MalformedLine, read_lines
from imageward_client.cli._output import Row, note, progress
from imageward_client.cli._session import BATCH_TIMEOUT_S, IntoBank, Json, Session, opened

REFUSALS_LISTED_MAX = 20


@dataclass(slots=True)
class Tally:
    """What became of the lines so far.

    Attributes:
        banked: lines that are entries now.
        banked_before: lines that an earlier run of the same import had banked.
        refused: lines that are no entries.
        refusals: the first of these, as line and reason.
        revision: from which on every check sees the entries; 0 before the first.
    """

    banked: int = 0
    banked_before: int = 0
    refused: int = 0
    refusals: list[Row] = field(default_factory=list)
    revision: int = 0

    def refuse(self, line: int, reason: str) -> None:
        """Counts a refused line, and lists it while the list is short."""
        self.refused += 1
        if self.refused > REFUSALS_LISTED_MAX:
            return
        self.refusals.append({"line": line, "reason": reason})
        note(f"refused: line {line}: {reason}")

    def count(self, numbers: list[int], answer: AddAnswer) -> None:
        """Counts an answered batch."""
        accepted = 0
        for number, result in zip(numbers, answer.results, strict=True):
            if result.refusal is None:
                accepted += 1
            else:
                self.refuse(number, str(result.refusal))
        if answer.replayed:
            self.banked_before += accepted
        else:
            self.banked += accepted
        self.revision = max(self.revision, answer.revision)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("import", epilog=EPILOG)(import_)


def import_(
    ctx: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            readable=True,
            help="Text with one PDQ hash a line, of any length.",
        ),
    ],
    *,
    bank: IntoBank,
    references: Annotated[
        bool,
        typer.Option(
            "--references/--no-references",
            help="Keep each line's metadata or name as the entry's reference, 0..128 characters.",
        ),
    ] = True,
    again: Annotated[
        bool,
        typer.Option("--again", help="Bank the lines even if an earlier import banked them."),
    ] = False,
    json: Json = False,
) -> None:
    """Bank the hashes of a list of PDQ text lines.

    Lines are HEX; HEX,METADATA; HEX,QUALITY,NAME; hash=HEX,quality=..,filename=..; or
    pdq HEX, with HEX for 64 lower-case hexadecimal digits. An integer 0..100 followed by a
    comma is a quality; any other METADATA is kept as it is. Blank lines and lines that start
    with # are skipped. The first 20 refused lines are listed.

    With --json one object: bank, banked, banked_before, refused, refusals and revision. Each
    call has 60 s unless --timeout says otherwise.
    """
    with opened(ctx, json=json, default_timeout_s=BATCH_TIMEOUT_S) as session:
        tally = _imported(session, file, bank, references=references, again=again)
        _tell(session, bank, tally)
    raise typer.Exit(ExitCode.REFUSED if tally.refused else ExitCode.OK)


def _imported(session: Session, file: Path, bank: str, *, references: bool, again: bool) -> Tally:
    tally = Tally()
    done_bytes = 0
    with (
        file.open("rb") as stream,
        progress("importing (bytes)", file.stat().st_size) as advance,
    ):
        for batch in _batches(read_lines(stream, references=references), tally):
            tally.count(list(batch), _send(session, bank, batch, again=again))
            advance(stream.tell() - done_bytes)
            done_bytes = stream.tell()
    return tally


def _batches(
    lines: Iterator[tuple[int, HashLine | MalformedLine]], tally: Tally
) -> Iterator[dict[int, HashLine]]:
    """Yields well-formed lines by number, 1,024 at a time; tallies the others."""
    wellformed = _wellformed(lines, tally)
    while batch := dict(islice(wellformed, BATCH_COUNT_MAX)):
        yield batch


def _wellformed(
    lines: Iterator[tuple[int, HashLine | MalformedLine]], tally: Tally
) -> Iterator[tuple[int, HashLine]]:
    for number, line in lines:
        if isinstance(line, MalformedLine):
            tally.refuse(number, str(line))
        else:
            yield number, line


def _send(session: Session, bank: str, batch: dict[int, HashLine], *, again: bool) -> AddAnswer:
    return session.client.add_entries(
        bank,
        hashes=[line.hash for line in batch.values()],
        references=[line.reference for line in batch.values()],
        request_id=None if again else _request_id(bank, batch),
    )


def _request_id(bank: str, batch: dict[int, HashLine]) -> str:
    """Returns the 64 digits that are the same whenever this batch of this list is sent."""
    digest = hashlib.sha256(f"imageward import\n{bank}\n".encode())
    for number, line in batch.items():
        digest.update(f"{number} {line.hash.hex} {line.hash.quality} ".encode())
        # Its length first, so that no reference can look like the next line.
        digest.update(f"{len(line.reference)} {line.reference}\n".encode())
    return digest.hexdigest()


def _tell(session: Session, bank: str, tally: Tally) -> None:
    unlisted = tally.refused - len(tally.refusals)
    if unlisted:
        note(f"refused: {unlisted:,} more lines, which are not listed")
    if tally.banked_before:
        note(
            f"{tally.banked_before:,} lines were banked by an earlier import of the same list and"
            " are not banked again; if they were withdrawn they stay so. Pass --again to bank them."
        )
    session.output.document({"bank": bank} | _document(session, tally))


def _document(session: Session, tally: Tally) -> dict[str, object]:
    row = asdict(tally)
    if not session.output.json:
        del row["refusals"]
    return row
