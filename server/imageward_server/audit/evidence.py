"""The audit as JSON lines: how it leaves the server, and how it is read again.

The first line names the format, the last one the chain's end; between them stand rows in their
order, each checkpoint after the row that it covers. Bytes are hexadecimal.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TextIO

from imageward_server.audit.row import ChainHead, Checkpoint, Row, SealedRow, values_of
from imageward_server.audit.verify import Evidence
from imageward_server.errors import DataCorrupt

FORMAT: Final = 1
LINE_CHARS_MAX: Final = 1 << 20


def write_checkpoint(checkpoint: Checkpoint) -> dict[str, Any]:
    """Write a checkpoint as JSON's own types."""
    return _plain(values_of(checkpoint))


def read_checkpoint(said: dict[str, Any]) -> Checkpoint:
    """Read what `write_checkpoint` wrote.

    Raises:
        DataCorrupt: it is none.
    """
    try:
        return Checkpoint(
            int(said["number"]),
            int(said["at_us"]),
            int(said["previous"]),
            bytes.fromhex(said["digest"]),
            bytes.fromhex(said["signature"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DataCorrupt("a line holds no whole checkpoint; export the audit again") from error


def write_lines(evidence: Evidence, public_key: bytes) -> Iterator[str]:
    """Yield the lines of an export."""
    head = evidence.head
    yield json.dumps({"format": FORMAT, "public_key": public_key.hex()})
    signed = {checkpoint.number: checkpoint for checkpoint in evidence.checkpoints}
    for sealed in evidence.rows:
        yield json.dumps(
            _plain({"row": values_of(sealed.row), "digest": sealed.digest, "mac": sealed.mac})
        )
        if sealed.row.number in signed:
            yield json.dumps({"checkpoint": write_checkpoint(signed[sealed.row.number])})
    yield json.dumps({"head": _plain(values_of(head))})


@contextmanager
def read_export(file: Path) -> Iterator[Evidence]:
    """Open an export; its rows are read as they are asked for.

    Raises:
        DataCorrupt: it is cut, or no export.
        OSError: it cannot be read.
    """
    with file.open() as opened:
        checkpoints = read_checkpoints(opened)
    with file.open() as opened, file.open() as again:
        yield Evidence(_read_head(again), _read_rows(opened), checkpoints)


def read_checkpoints(file: TextIO) -> list[Checkpoint]:
    """Read the checkpoints of an export, or of a log of JSON lines; other lines are passed over.

    Raises:
        DataCorrupt: a checkpoint cannot be read.
    """
    said = (_object(line).get("checkpoint") for line in file)
    return [read_checkpoint(one) for one in said if isinstance(one, dict)]


def _read_rows(file: TextIO) -> Iterator[SealedRow]:
    for line in file:
        said = _object(line)
        if "row" not in said:
            continue
        try:
            yield SealedRow(Row(**said["row"]), _bytes(said["digest"]), _bytes(said["mac"]))
        except (KeyError, TypeError, ValueError) as error:
            raise DataCorrupt("a line holds no whole row; export the audit again") from error


def _read_head(file: TextIO) -> ChainHead:
    (last,) = map(_object, deque(file, maxlen=1) or [""])
    try:
        head = last["head"]
        return ChainHead(**{**head, "digest": _bytes(head["digest"]), "mac": _bytes(head["mac"])})
    except (KeyError, TypeError, ValueError) as error:
        raise DataCorrupt("the export has no end; export the audit again") from error


def _object(line: str) -> dict[str, Any]:
    """Read a line that is a JSON object; any other is an empty one."""
    try:
        said = json.loads(line) if len(line) <= LINE_CHARS_MAX else None
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _bytes(said: str | None) -> bytes | None:
    return None if said is None else bytes.fromhex(said)


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Replace bytes by their hexadecimal digits."""
    return {
        name: value.hex() if isinstance(value, bytes) else value for name, value in values.items()
    }
