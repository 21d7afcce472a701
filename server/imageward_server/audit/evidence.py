"""The audit as JSON lines: how it leaves the server, and how it is read again.

The first line names the chain, the last one its end; between them stand rows in their
order, each checkpoint after the row that it covers. Bytes are hexadecimal.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any, Final, TextIO

from imageward_server.audit.row import ChainHead, Checkpoint, Row, SealedRow
from imageward_server.errors import DataCorrupt

FORMAT: Final = 1
LINE_CHARS_MAX: Final = 1 << 20


def write_checkpoint(checkpoint: Checkpoint) -> dict[str, Any]:
    """Write a checkpoint as JSON's own types."""
    return _plain(asdict(checkpoint))


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


def write_lines(
    head: ChainHead, rows: Iterable[SealedRow], checkpoints: Iterable[Checkpoint], key: bytes
) -> Iterator[str]:
    """Yield the lines of an export.

    Args:
        head: where the chain ends.
        rows: all rows in their order.
        checkpoints: all of them, oldest first.
        key: the public key.
    """
    yield json.dumps({"format": FORMAT, "chain_id": head.chain_id, "public_key": key.hex()})
    signed = {checkpoint.number: checkpoint for checkpoint in checkpoints}
    for sealed in rows:
        yield json.dumps({"row": _plain(asdict(sealed.row)), **_seal(sealed)})
        if sealed.row.number in signed:
            yield json.dumps({"checkpoint": write_checkpoint(signed[sealed.row.number])})
    yield json.dumps({"head": _plain(asdict(head))})


def read_checkpoints(file: TextIO) -> list[Checkpoint]:
    """Read the checkpoints of an export, or of a log of JSON lines; other lines are passed over.

    Raises:
        DataCorrupt: a checkpoint cannot be read.
    """
    found = []
    for line in file:
        try:
            said = json.loads(line) if len(line) <= LINE_CHARS_MAX else None
        except ValueError:
            continue
        if isinstance(said, dict) and isinstance(said.get("checkpoint"), dict):
            found.append(read_checkpoint(said["checkpoint"]))
    return found


def read_row(said: dict[str, Any]) -> SealedRow:
    """Read a row of an export.

    Raises:
        DataCorrupt: it is none.
    """
    try:
        row = Row(**said["row"])
        return SealedRow(row, _bytes(said["digest"]), _bytes(said["mac"]))
    except (KeyError, TypeError, ValueError) as error:
        raise DataCorrupt("a line holds no whole row; export the audit again") from error


def _seal(sealed: SealedRow) -> dict[str, str | None]:
    return {
        "digest": sealed.digest.hex() if sealed.digest else None,
        "mac": sealed.mac.hex() if sealed.mac else None,
    }


def _bytes(said: str | None) -> bytes | None:
    return None if said is None else bytes.fromhex(said)


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value.hex() if isinstance(value, bytes) else value for name, value in values.items()
    }
