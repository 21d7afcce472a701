"""What the intake tells the server's audit: who did what to which case and picture."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import sqlalchemy as sa

from imageward_server.audit.row import SERVER, Actor, Row
from imageward_server.intake.sessions import PARTNER, REVIEWER
from imageward_server.store.head import Head
from imageward_server.store.ledger import read_rows

SYSTEM: Final = SERVER
# Who came by a link, or by a case's number and PIN; nothing more is known of them.
PERSON: Final = Actor("person", "person")
_FRONTEND: Final = "frontend"


def partner(name: str) -> Actor:
    """Name the account of a partner."""
    return Actor(name, PARTNER)


def reviewer(name: str) -> Actor:
    """Name the account of a reviewer."""
    return Actor(name, REVIEWER)


def frontend(name: str) -> Actor:
    """Name the account of a frontend."""
    return Actor(name, _FRONTEND)


def record(
    head: Head,
    actor: Actor,
    action: str,
    *,
    case_number: str = "",
    picture_id: str = "",
    entry_ids: Iterable[int] = (),
) -> None:
    """Write a row, in the transaction of what it tells."""
    head.audit(actor, action, case_number=case_number, picture_id=picture_id, entry_ids=entry_ids)


def of_case(connection: sa.Connection, case_number: str) -> list[Row]:
    """Return the trail of a case, oldest first."""
    return [sealed.row for sealed in read_rows(connection, case_number)]
