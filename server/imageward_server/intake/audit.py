"""The audit trail: who did what to which case and picture, and when."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

import sqlalchemy as sa

from imageward_server.store.case_tables import audit as table
from imageward_server.store.head import Head

SYSTEM = "imageward"


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One line of the trail."""

    at_us: int
    actor: str
    action: str
    case_number: str
    picture_id: str


def record(
    head: Head, actor: str, action: str, *, case_number: str = "", picture_id: str = ""
) -> None:
    """Write a line, in the transaction of what it tells."""
    head.connection.execute(
        table.insert().values(
            id=uuid.uuid4().hex,
            at_us=head.now_us,
            actor=actor,
            action=action,
            case_number=case_number,
            picture_id=picture_id,
        )
    )


def of_case(connection: sa.Connection, case_number: str) -> list[AuditRecord]:
    """Return the trail of a case, oldest first."""
    query = sa.select(table).where(table.c.case_number == case_number).order_by(table.c.at_us)
    return [
        AuditRecord(row.at_us, row.actor, row.action, row.case_number, row.picture_id)
        for row in connection.execute(query)
    ]
