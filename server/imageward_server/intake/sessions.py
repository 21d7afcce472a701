"""Sessions of browsers: a random cookie, kept as a hash, bound to one browser, ended early.

A session is for one role and one subject: a case's number, or a credential's name. A cookie
that comes from another browser ends the session, since one of the two has stolen it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from imageward_server.access import Role
from imageward_server.intake.credentials import digest_token, new_token
from imageward_server.intake.intake import Intake
from imageward_server.intake.limits import (
    PERSON_SESSION_S,
    STAFF_IDLE_S,
    STAFF_SESSION_S,
    STATUS_SESSION_S,
)
from imageward_server.store.case_tables import session as table
from imageward_server.store.head import Head

_US: Final = 1_000_000
UPLOADER: Final = "uploader"
STATUS: Final = "status"
PARTNER: Final = str(Role.PARTNER)
REVIEWER: Final = str(Role.REVIEWER)
STAFF: Final = (PARTNER, REVIEWER)
# Role: how long a session lasts, and how long it may lie idle.
_LIFETIMES_S: Final = {
    UPLOADER: (PERSON_SESSION_S, PERSON_SESSION_S),
    STATUS: (STATUS_SESSION_S, STATUS_SESSION_S),
    PARTNER: (STAFF_SESSION_S, STAFF_IDLE_S),
    REVIEWER: (STAFF_SESSION_S, STAFF_IDLE_S),
}


@dataclass(frozen=True, slots=True)
class Session:
    """Whose pages a browser may see."""

    role: str
    subject: str


def begin(head: Head, session: Session, browser: str) -> str:
    """Begin a session; return the cookie.

    Args:
        head: the transaction.
        session: what for.
        browser: what the browser says of itself.
    """
    token = new_token()
    lifetime_s, _ = _LIFETIMES_S[session.role]
    head.connection.execute(
        table.insert().values(
            token_hash=digest_token(token),
            role=session.role,
            subject=session.subject,
            browser_hash=digest_token(browser),
            seen_us=head.now_us,
            expires_us=head.now_us + lifetime_s * _US,
        )
    )
    return token


def find(intake: Intake, token: str, browser: str) -> Session | None:
    """Return the session of a cookie, or None if it has ended."""
    key = digest_token(token)
    with intake.store.reading() as connection:
        row = connection.execute(sa.select(table).where(table.c.token_hash == key)).first()
    if row is None:
        return None
    _, idle_s = _LIFETIMES_S[row.role]
    now_us = intake.now_us()
    ended = now_us >= min(row.expires_us, row.seen_us + idle_s * _US)
    with intake.store.changing() as head:
        if ended or row.browser_hash != digest_token(browser):
            end(head, token)
            return None
        head.connection.execute(
            table.update().where(table.c.token_hash == key).values(seen_us=now_us)
        )
    return Session(row.role, row.subject)


def end(head: Head, token: str) -> None:
    """End a session."""
    head.connection.execute(table.delete().where(table.c.token_hash == digest_token(token)))


def end_all(head: Head, session: Session) -> None:
    """End every session of one role and subject."""
    head.connection.execute(
        table.delete().where(table.c.role == session.role, table.c.subject == session.subject)
    )


def purge(head: Head) -> None:
    """Forget the sessions that have ended."""
    head.connection.execute(table.delete().where(table.c.expires_us <= head.now_us))
