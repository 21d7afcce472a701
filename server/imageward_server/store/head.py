"""The counters of revisions and serials, and the feed and audit of every change."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import sqlalchemy as sa

from imageward_server.audit.row import Actor, Checkpoint
from imageward_server.store.codes import Codes
from imageward_server.store.ledger import Deed, Ledger, write_runs
from imageward_server.store.schema import ChangeKind, change, head


@dataclass(slots=True)
class Head:
    """The counters inside a writing transaction, held alone until it ends.

    Attributes:
        codes: how entries' codes are stored.
        erase_after_us: how long a withdrawn entry can be restored, in microseconds.
        audited_revision: the last that a row of the audit tells of.
        checkpoints: of the audit, made in this transaction.
    """

    connection: sa.Connection
    ledger: Ledger
    codes: Codes
    erase_after_us: int
    revision: int
    serial: int
    now_us: int
    audited_revision: int
    checkpoints: list[Checkpoint] = field(default_factory=list)

    @classmethod
    def take(
        cls,
        connection: sa.Connection,
        ledger: Ledger,
        codes: Codes,
        *,
        erase_after_us: int,
        now_us: int,
    ) -> Head:
        """Lock the counters: the first statement of every change."""
        row = connection.execute(
            head.update().values(revision=head.c.revision).returning(head.c.revision, head.c.serial)
        ).one()
        counters = (row.revision, row.serial, now_us, row.revision)
        return cls(connection, ledger, codes, erase_after_us, *counters)

    def audit(
        self,
        actor: Actor,
        action: str,
        *,
        bank: str = "",
        entry_ids: Iterable[int] = (),
        case_number: str = "",
        picture_id: str = "",
    ) -> None:
        """Write who did what to the audit, in the transaction of what it tells."""
        entries, count = write_runs(entry_ids)
        deed = Deed(actor, action, bank, entries, count, case_number, picture_id)
        self.checkpoints += self.ledger.append(self.connection, deed, self.now_us, self.revision)
        self.audited_revision = self.revision

    def next_serials(self, count: int) -> int:
        """Take serials in a row, never used before or again; return the first."""
        first = self.serial + 1
        self.serial += count
        self.connection.execute(head.update().values(serial=self.serial))
        return first

    def record_bank(self, number: int) -> int:
        """Write to the feed that a bank changed; return the revision of it."""
        return self._record(ChangeKind.BANK, number, None, None)

    def record_entries(self, bank_number: int, first_entry_id: int, count: int) -> int:
        """Write to the feed that entries with serials in a row changed; return the revision."""
        return self._record(ChangeKind.ENTRIES, bank_number, first_entry_id, count)

    def _record(
        self, kind: ChangeKind, bank_number: int, first_entry_id: int | None, count: int | None
    ) -> int:
        self.revision += 1
        self.connection.execute(head.update().values(revision=self.revision))
        self.connection.execute(
            change.insert().values(
                revision=self.revision,
                kind=kind,
                bank_number=bank_number,
                first_entry_id=first_entry_id,
                entry_count=count,
                changed_us=self.now_us,
            )
        )
        return self.revision


def store_id(connection: sa.Connection) -> str:
    """Read the random name that the store was given when it was made."""
    name: str = connection.execute(sa.select(head.c.store_id)).scalar_one()
    return name


def position(connection: sa.Connection) -> tuple[str, int]:
    """Read the random name of the store, and its last revision."""
    row = connection.execute(sa.select(head.c.store_id, head.c.revision)).one()
    return row.store_id, row.revision


def last_serial(connection: sa.Connection) -> int:
    """Read the last serial that was taken."""
    serial: int = connection.execute(sa.select(head.c.serial)).scalar_one()
    return serial


def current_revision(connection: sa.Connection) -> int:
    """Read the last revision of the store."""
    revision: int = connection.execute(sa.select(head.c.revision)).scalar_one()
    return revision
