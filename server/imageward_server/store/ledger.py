"""The audit's writing end: rows are appended in the transaction of what they tell.

Every change of the store locks the row of its counters first, so that of all processes
one appends at a time: numbers have no gap, and each digest covers the row before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

import sqlalchemy as sa

from imageward_index.entry_id import runs_of
from imageward_server.audit.keys import NO_SECRET, AuditKeys
from imageward_server.audit.row import (
    SERVER,
    Actor,
    ChainHead,
    Checkpoint,
    Row,
    SealedRow,
    digest_before_the_first,
    digest_of,
    values_of,
)
from imageward_server.errors import DataCorrupt
from imageward_server.store import audit_tables as tables

# A checkpoint is signed with the row that makes one of these full.
CHECKPOINT_ROWS: Final = 1_000
CHECKPOINT_S: Final = 600
_US: Final = 1_000_000
ROWS_PER_BLOCK: Final = 10_000
# Built once: a row is appended with every change.
_SELECT_HEAD: Final = sa.select(tables.head)
_UPDATE_HEAD: Final = tables.head.update()
_INSERT_ROW: Final = tables.row.insert()
_INSERT_CHECKPOINT: Final = tables.checkpoint.insert()
_COLUMNS: Final = tuple(Row.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class Deed:
    """What a row will tell, but for its place and time."""

    actor: Actor
    action: str
    bank: str = ""
    entries: str = ""
    entry_count: int = 0
    case_number: str = ""
    picture_id: str = ""


class Ledger:
    """Appends to the audit of a store, under one key.

    Args:
        keys: what rows are sealed with.
    """

    def __init__(self, keys: AuditKeys) -> None:
        self._keys = keys

    @property
    def keys(self) -> AuditKeys:
        """What rows are sealed with."""
        return self._keys

    def open(self, connection: sa.Connection, now_us: int, revision: int) -> list[Checkpoint]:
        """Begin the chain if it was not begun, or not under a secret.

        Raises:
            DataCorrupt: the chain ends otherwise than it did under this key.
        """
        head = read_head(connection)
        if head.mac is None or (NO_SECRET.fits_head(head) and self._keys is not NO_SECRET):
            return self.begin(connection, Deed(SERVER, "begin"), now_us, revision)
        if self._keys is not NO_SECRET:  # without a secret a store is read, and not changed
            self._require_fit(head)
        return []

    def begin(
        self, connection: sa.Connection, deed: Deed, now_us: int, revision: int
    ) -> list[Checkpoint]:
        """Go on under this key from here, whatever was before; that stays, and is covered."""
        head = read_head(connection)
        if head.mac is None:
            head = replace(head, digest=_digest_old_rows(connection, head.chain_id))
        return self._extend(
            connection, replace(head, first=head.number + 1), deed, now_us, revision
        )

    def append(
        self, connection: sa.Connection, deed: Deed, now_us: int, revision: int
    ) -> list[Checkpoint]:
        """Append a row; return the checkpoint that was made with it, if one was due.

        Raises:
            DataCorrupt: the chain ends otherwise than it did under this key. To go on
                would seal what somebody has made of it.
        """
        head = read_head(connection)
        self._require_fit(head)
        return self._extend(connection, head, deed, now_us, revision)

    def check_point(self, connection: sa.Connection, now_us: int) -> list[Checkpoint]:
        """Sign how far the chain is, if rows have waited for it long enough."""
        head = read_head(connection)
        if head.number == head.checkpoint or now_us - head.checkpoint_us < CHECKPOINT_S * _US:
            return []
        self._require_fit(head)
        head, checkpoint = self._sign(connection, head, now_us)
        self._write_head(connection, head)
        return [checkpoint]

    def _extend(
        self,
        connection: sa.Connection,
        head: ChainHead,
        deed: Deed,
        now_us: int,
        revision: int,
    ) -> list[Checkpoint]:
        row = _row_of(deed, head.number + 1, now_us, revision)
        digest = digest_of(head.digest, row)
        sealed = {**values_of(row), "digest": digest, "mac": self._keys.row_mac(digest)}
        connection.execute(_INSERT_ROW, sealed)
        head = replace(head, number=row.number, digest=digest)
        made = []
        if _is_due(head, now_us):
            head, checkpoint = self._sign(connection, head, now_us)
            made.append(checkpoint)
        self._write_head(connection, head)
        return made

    def _sign(
        self, connection: sa.Connection, head: ChainHead, now_us: int
    ) -> tuple[ChainHead, Checkpoint]:
        made = self._keys.sign(head.chain_id, head.number, now_us, head.checkpoint, head.digest)
        connection.execute(_INSERT_CHECKPOINT, values_of(made))
        return replace(head, checkpoint=made.number, checkpoint_us=now_us), made

    def _write_head(self, connection: sa.Connection, head: ChainHead) -> None:
        sealed = replace(head, mac=self._keys.head_mac(head))
        connection.execute(_UPDATE_HEAD, values_of(sealed))

    def _require_fit(self, head: ChainHead) -> None:
        if not self._keys.fits_head(head):
            raise DataCorrupt(
                "the audit's end does not fit its key: the key is another, or somebody has "
                "changed the store; name the key that it was written with, or see what "
                "`imageward-server audit verify` says"
            )


def read_head(connection: sa.Connection) -> ChainHead:
    """Read where the chain ends.

    Raises:
        DataCorrupt: somebody has removed it.
    """
    found = connection.execute(_SELECT_HEAD).first()
    if found is None:
        raise DataCorrupt("the audit has no end any more; restore the last backup")
    return ChainHead(
        found.chain_id,
        found.first,
        found.number,
        found.digest or b"",
        found.checkpoint,
        found.checkpoint_us,
        found.mac,
    )


def read_rows(connection: sa.Connection, case_number: str | None = None) -> Iterator[SealedRow]:
    """Yield the rows in their order: all of them, or those of a case."""
    query = sa.select(tables.row).order_by(tables.row.c.number)
    if case_number is not None:
        query = query.where(tables.row.c.case_number == case_number)
    for found in connection.execute(query.execution_options(yield_per=ROWS_PER_BLOCK)):
        values = found._mapping  # noqa: SLF001 - SQLAlchemy's own public name
        row = Row(**{name: values[name] for name in _COLUMNS})
        yield SealedRow(row, found.digest, found.mac)


def read_checkpoints(connection: sa.Connection) -> list[Checkpoint]:
    """Return the signed checkpoints, oldest first."""
    query = sa.select(tables.checkpoint).order_by(tables.checkpoint.c.number)
    return [Checkpoint(**found._mapping) for found in connection.execute(query)]  # noqa: SLF001 - SQLAlchemy's own public name


def write_runs(entry_ids: Iterable[int]) -> tuple[str, int]:
    """Write entry ids as runs, such as `0000800000000001-0000800000000400`; count them too."""
    ids = sorted(set(entry_ids))
    written = [
        f"{first:016x}" if count == 1 else f"{first:016x}-{first + count - 1:016x}"
        for first, count in runs_of(ids)
    ]
    return ",".join(written), len(ids)


def _row_of(deed: Deed, number: int, now_us: int, revision: int) -> Row:
    return Row(
        number=number,
        at_us=now_us,
        actor=deed.actor.name,
        role=deed.actor.role,
        action=deed.action,
        bank=deed.bank,
        entries=deed.entries,
        entry_count=deed.entry_count,
        case_number=deed.case_number,
        picture_id=deed.picture_id,
        reason=deed.actor.reason,
        revision=revision,
    )


def _is_due(head: ChainHead, now_us: int) -> bool:
    return (
        head.number - head.checkpoint >= CHECKPOINT_ROWS
        or now_us - head.checkpoint_us >= CHECKPOINT_S * _US
    )


def _digest_old_rows(connection: sa.Connection, chain_id: str) -> bytes:
    """Give digests to the rows that a migration brought; return the last one."""
    digest = digest_before_the_first(chain_id)
    for sealed in list(read_rows(connection)):
        digest = digest_of(digest, sealed.row)
        connection.execute(
            tables.row.update()
            .where(tables.row.c.number == sealed.row.number)
            .values(digest=digest)
        )
    return digest
