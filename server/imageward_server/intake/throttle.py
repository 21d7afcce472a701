"""Wrong secrets: after five in a row a name is locked for a quarter of an hour.

Kept in the store, so that a restart forgives nobody. Names are kept as hashes: what is
tried may be a secret typed into the wrong field.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from imageward_server.intake.credentials import digest_token
from imageward_server.intake.limits import FAILURES_MAX, LOCK_S
from imageward_server.intake.refusals import PageRefusal
from imageward_server.store.case_tables import failure as table
from imageward_server.store.head import Head

_LOCK_US: Final = LOCK_S * 1_000_000


def require_unlocked(connection: sa.Connection, subject: str, now_us: int) -> None:
    """Refuse even the right secret while a name is locked.

    Raises:
        PageRefusal: it is.
    """
    row = connection.execute(
        sa.select(table).where(table.c.subject == digest_token(subject))
    ).first()
    if row is not None and row.failures >= FAILURES_MAX and now_us < row.last_us + _LOCK_US:
        raise PageRefusal("locked", 429, minutes=LOCK_S // 60)


def note_failure(head: Head, subject: str) -> None:
    """Count a wrong secret; a lock that has ended begins the count anew."""
    key = digest_token(subject)
    row = head.connection.execute(sa.select(table).where(table.c.subject == key)).first()
    if row is None:
        head.connection.execute(table.insert().values(subject=key, failures=1, last_us=head.now_us))
        return
    ended = head.now_us >= row.last_us + _LOCK_US
    head.connection.execute(
        table.update()
        .where(table.c.subject == key)
        .values(failures=1 if ended else row.failures + 1, last_us=head.now_us)
    )


def forgive(head: Head, subject: str) -> None:
    """Forget the wrong secrets of a name: the right one came."""
    head.connection.execute(table.delete().where(table.c.subject == digest_token(subject)))


def purge(head: Head) -> None:
    """Forget what no lock depends on any more."""
    head.connection.execute(table.delete().where(table.c.last_us < head.now_us - _LOCK_US))
