"""One-time links: unguessable, expiring, usable once, revocable, kept only as a hash."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from imageward_server.audit.row import Actor
from imageward_server.intake import audit
from imageward_server.intake.credentials import digest_token, new_token
from imageward_server.intake.intake import Intake
from imageward_server.intake.limits import HOUR_S
from imageward_server.intake.refusals import PageRefusal
from imageward_server.store.case_tables import link as table
from imageward_server.store.head import Head

_US: Final = 1_000_000
PATH: Final = "/u/"
_UNUSED: Final = sa.and_(table.c.used_us.is_(None), table.c.revoked_us.is_(None))


def issue(intake: Intake, head: Head, number: str, actor: Actor) -> tuple[str, int]:
    """Make the link of a case and revoke those before it; return its URL and when it expires."""
    revoke(head, number, actor)
    token = new_token()
    expires_us = head.now_us + intake.settings.link_h * HOUR_S * _US
    head.connection.execute(
        table.insert().values(
            token_hash=digest_token(token), case_number=number, expires_us=expires_us
        )
    )
    audit.record(head, actor, "issue link", case_number=number)
    return f"{intake.settings.public_url}{PATH}{token}", expires_us


def revoke(head: Head, number: str, actor: Actor) -> int:
    """Make every link of a case useless; return how many were not used or revoked before."""
    revoked = head.connection.execute(
        table.update().where(_UNUSED, table.c.case_number == number).values(revoked_us=head.now_us)
    ).rowcount
    if revoked:
        audit.record(head, actor, "revoke link", case_number=number)
    return revoked


def revoke_all(head: Head) -> None:
    """Make every link useless, as after a restore: some were used since the backup."""
    numbers = sa.select(table.c.case_number).where(_UNUSED).distinct()
    for number in head.connection.execute(numbers).scalars().all():
        revoke(head, number, audit.SYSTEM)


def check(connection: sa.Connection, token: str, now_us: int) -> str:
    """Return the case of a link that may still be used.

    Raises:
        PageRefusal: it is unknown, used, revoked or expired.
    """
    query = sa.select(table).where(table.c.token_hash == digest_token(token))
    row = connection.execute(query).first()
    if row is None:
        raise PageRefusal("link_unknown", 404)
    if row.used_us is not None:
        raise PageRefusal("link_used", 410)
    if row.revoked_us is not None:
        raise PageRefusal("link_revoked", 410)
    if now_us >= row.expires_us:
        raise PageRefusal("link_expired", 410)
    number: str = row.case_number
    return number


def use(head: Head, token: str) -> str:
    """Use a link up; return its case.

    Raises:
        PageRefusal: it is unknown, used, revoked or expired.
    """
    number = check(head.connection, token, head.now_us)
    head.connection.execute(
        table.update().where(table.c.token_hash == digest_token(token)).values(used_us=head.now_us)
    )
    audit.record(head, audit.PERSON, "use link", case_number=number)
    return number
