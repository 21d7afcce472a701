"""The outbox: mail that is owed, in the transaction of what it tells, until it is sent.

Knows neither words nor SMTP. Mail is sent at least once: a process that ends between the
mail server's answer and its own note sends it again.
"""

from __future__ import annotations

import enum
import uuid
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from imageward_server.intake.limits import DETAIL_CHARS_MAX, MAIL_BATCH, MAIL_RETRY_S
from imageward_server.store.case_tables import case as case_table
from imageward_server.store.case_tables import mail as table
from imageward_server.store.head import Head

_US: Final = 1_000_000


class MailKind(enum.Enum):
    """What a mail tells."""

    BANKED = "banked"
    DELETED = "deleted"
    REJECTED = "rejected"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class MailRecord:
    """A mail that is owed or was sent."""

    id: str
    case_number: str
    kind: MailKind
    reason: str
    attempts: int
    error: str
    queued_us: int
    due_us: int
    sent_us: int | None


def queue(head: Head, case_number: str, kind: MailKind, reason: str = "") -> None:
    """Owe a mail; one that says the same and is not sent yet is enough."""
    has_contact = sa.select(case_table.c.number).where(
        case_table.c.number == case_number, case_table.c.contact.is_not(None)
    )
    same = sa.select(table.c.id).where(
        table.c.case_number == case_number,
        table.c.kind == kind.value,
        table.c.reason == reason,
        table.c.sent_us.is_(None),
    )
    connection = head.connection
    if not connection.execute(has_contact).first() or connection.execute(same).first():
        return
    connection.execute(
        table.insert().values(
            id=uuid.uuid4().hex,
            case_number=case_number,
            kind=kind.value,
            reason=reason,
            attempts=0,
            error="",
            queued_us=head.now_us,
            due_us=head.now_us,
        )
    )


def due(connection: sa.Connection, now_us: int) -> list[MailRecord]:
    """Return up to 100 mails that should be sent now, the longest owed first."""
    query = (
        sa.select(table)
        .where(table.c.sent_us.is_(None), table.c.due_us <= now_us)
        .order_by(table.c.due_us, table.c.id)
        .limit(MAIL_BATCH)
    )
    return [_as_record(row) for row in connection.execute(query)]


def unsent(connection: sa.Connection) -> list[MailRecord]:
    """Return the mail that was tried and failed, the longest owed first."""
    query = sa.select(table).where(table.c.sent_us.is_(None), table.c.attempts > 0)
    return [_as_record(row) for row in connection.execute(query.order_by(table.c.queued_us))]


def of_case(connection: sa.Connection, case_number: str) -> list[MailRecord]:
    """Return the mail of a case, oldest first."""
    query = sa.select(table).where(table.c.case_number == case_number)
    return [_as_record(row) for row in connection.execute(query.order_by(table.c.queued_us))]


def mark_sent(head: Head, mail: MailRecord) -> None:
    """Note that a mail server has taken a mail."""
    head.connection.execute(
        table.update()
        .where(table.c.id == mail.id)
        .values(sent_us=head.now_us, attempts=table.c.attempts + 1, error="")
    )


def mark_failed(head: Head, mail: MailRecord, error: str) -> None:
    """Note why a mail was not taken, and when it is tried again."""
    wait_s = MAIL_RETRY_S[min(mail.attempts, len(MAIL_RETRY_S) - 1)]
    head.connection.execute(
        table.update()
        .where(table.c.id == mail.id)
        .values(
            attempts=table.c.attempts + 1,
            error=error[:DETAIL_CHARS_MAX],
            due_us=head.now_us + wait_s * _US,
        )
    )


def drop(head: Head, case_number: str) -> None:
    """Owe a case no mail any more."""
    head.connection.execute(
        table.delete().where(table.c.case_number == case_number, table.c.sent_us.is_(None))
    )


def _as_record(row: Any) -> MailRecord:  # noqa: ANN401 - a row's columns are not typed
    return MailRecord(**{**row._mapping, "kind": MailKind(row.kind)})  # noqa: SLF001 - SQLAlchemy's own public name
