"""Counts of what frontends did with uploads that matched: by entry, surface and day.

Counts only: neither uploads nor those who sent them are known here.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from imageward_server.errors import RequestIdReused
from imageward_server.store import entries
from imageward_server.store.case_tables import PictureKind
from imageward_server.store.case_tables import picture as picture_table
from imageward_server.store.case_tables import stop as table
from imageward_server.store.head import Head
from imageward_server.store.schema import request as request_table

_DAY_US: Final = 24 * 3600 * 1_000_000


class StopAction(enum.Enum):
    """What a frontend did with an upload."""

    BLOCKED = "blocked"
    REVIEWED = "reviewed"
    ALLOWED = "allowed"


@dataclass(frozen=True, slots=True)
class StopCount:
    """How many uploads met one end on one surface and day.

    Attributes:
        day: days since 1970-01-01, UTC.
    """

    surface: str
    day: int
    action: StopAction
    count: int


def add_once(
    head: Head,
    frontend: str,
    request_id: str,
    entry_ids: Sequence[int],
    surface: str,
    action: StopAction,
) -> None:
    """Count as `add` does, but nothing for a request id that this frontend sent before.

    Raises:
        EntryNotFound: an id is of no entry.
        RequestIdReused: the request id came with other contents before.
    """
    # A frontend's ids are its own: neither another's nor those of additions to banks.
    own_id = hashlib.sha256(repr((frontend, request_id)).encode()).hexdigest()
    digest = head.codes.digest(repr((sorted(set(entry_ids)), surface, action.value)).encode())
    known = sa.select(request_table.c.digest).where(request_table.c.id == own_id)
    earlier = head.connection.execute(known).scalar()
    if earlier is None:
        add(head, entry_ids, surface, action)
        head.connection.execute(
            request_table.insert().values(
                id=own_id, digest=digest, revision=head.revision, created_us=head.now_us
            )
        )
    elif earlier != digest:
        raise RequestIdReused(
            "this request id came with other contents before; use a new id for new contents"
        )


def add(head: Head, entry_ids: Sequence[int], surface: str, action: StopAction) -> None:
    """Count one upload for each entry that it matched.

    Raises:
        EntryNotFound: an id is of no entry.
    """
    entries.fetch_states(head.connection, entry_ids)
    day = head.now_us // _DAY_US
    for entry_id in set(entry_ids):
        where = sa.and_(
            table.c.entry_id == entry_id,
            table.c.surface == surface,
            table.c.day == day,
            table.c.action == action.value,
        )
        counted = head.connection.execute(
            table.update().where(where).values(count=table.c.count + 1)
        )
        if not counted.rowcount:
            head.connection.execute(
                table.insert().values(
                    entry_id=entry_id, surface=surface, day=day, action=action.value, count=1
                )
            )


def of_case(connection: sa.Connection, case_number: str) -> list[StopCount]:
    """Return the counts of a case's entries, by day and surface."""
    own = sa.select(picture_table.c.entry_id).where(
        picture_table.c.case_number == case_number, picture_table.c.kind != PictureKind.APPEAL
    )
    query = (
        sa.select(table.c.surface, table.c.day, table.c.action, sa.func.sum(table.c.count))
        .where(table.c.entry_id.in_(own))
        .group_by(table.c.day, table.c.surface, table.c.action)
        .order_by(table.c.day, table.c.surface, table.c.action)
    )
    return [
        StopCount(surface, day, StopAction(action), int(count))
        for surface, day, action, count in connection.execute(query)
    ]
