"""What is printed: tables for people, JSON lines for programs, notes beside both."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imageward_client.errors import ImagewardClientError

# A pipe has no width; what reads it wants each row on one line.
PIPE_COLUMNS = 400
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Output:
    """Prints answers in one of the two forms.

    Attributes:
        json: whether each row is a JSON object on a line of its own.
    """

    json: bool

    def rows(self, columns: Sequence[str], rows: Iterable[Row]) -> None:
        """Prints rows: JSON lines as they come with all they hold, or one table."""
        if self.json:
            for row in rows:
                print_json(row)
            return
        table = Table(*columns)
        for row in rows:
            table.add_row(*(_cell(row.get(column)) for column in columns))
        _console().print(table)

    def document(self, row: Row) -> None:
        """Prints one thing: a JSON object, or a line a field."""
        if self.json:
            print_json(row)
            return
        table = Table(show_header=False)
        for name, value in row.items():
            table.add_row(_cell(name), _cell(value))
        _console().print(table)


def print_json(row: Row) -> None:
    """Prints one JSON object on one line."""
    print(json.dumps(row, default=datetime.isoformat), flush=True)  # noqa: T201 - this is the output


def note(text: str) -> None:
    """Prints one line for people to standard error."""
    _console(stderr=True).print(Text(_printable(text)), soft_wrap=True)


def error_row(error: ImagewardClientError) -> Row:
    """Returns what JSON says of an error."""
    return {
        "code": error.code,
        "reason": error.reason,
        "message": error.message,
        "metadata": error.metadata,
    }


@contextmanager
def progress(title: str, total: float | None) -> Iterator[Callable[[float], None]]:
    """Shows a bar on standard error, where that is a terminal; yields its `advance`."""
    console = _console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    bar = Progress(*columns, TimeElapsedColumn(), console=console, disable=not console.is_terminal)
    with bar:
        task = bar.add_task(title, total=total)
        yield lambda amount: bar.advance(task, amount)


def _console(*, stderr: bool = False) -> Console:
    console = Console(stderr=stderr, highlight=False)
    if not console.is_terminal:
        console.width = PIPE_COLUMNS
    return console


def _cell(value: object) -> Text:
    if value is None or value in ("", [], ()):
        return Text("-")
    if isinstance(value, Mapping):
        # An error_row: its message goes to standard error beside the table.
        return Text(_printable(value["reason"] or value["code"]))
    if isinstance(value, list | tuple):
        return Text(_printable(", ".join(map(str, value))))
    return Text(_printable(str(value)))


def _printable(text: str) -> str:
    """Returns the text without what would steer a terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)
