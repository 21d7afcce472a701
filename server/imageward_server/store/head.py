"""The counters of revisions and serials, and the feed that every change is written to."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from imageward_server.store.schema import ChangeKind, change, head


@dataclass(slots=True)
class Head:
    """The counters inside a writing transaction, held alone until it ends."""

    connection: sa.Connection
    revision: int
    serial: int
    now_us: int

    @classmethod
    def take(cls, connection: sa.Connection, now_us: int) -> Head:
        """Lock the counters: the first statement of every change."""
        row = connection.execute(
            head.update().values(revision=head.c.revision).returning(head.c.revision, head.c.serial)
        ).one()
        return cls(connection, row.revision, row.serial, now_us)

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


def current_revision(connection: sa.Connection) -> int:
    """Read the last revision of the store."""
    revision: int = connection.execute(sa.select(head.c.revision)).scalar_one()
    return revision
