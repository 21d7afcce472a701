"""Erasures in the store: which withdrawn entries lose their codes, and when.

1. `plan`: an entry was withdrawn, and is due when it can be restored no longer;
2. `wipe`: what is due loses its codes here, and its key;
3. `finish`: nothing is left of it in any file; see `imageward_server.eraser`.

Until the last step the entry stays in the table, so that a crash forgets none.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from imageward_server.errors import EntryErased
from imageward_server.store.codes import ERASED
from imageward_server.store.head import Head
from imageward_server.store.schema import entry, fingerprint
from imageward_server.store.schema import erasure as table


def plan(head: Head, entry_ids: Sequence[int], due_us: int) -> None:
    """Let entries be erased at a time, or at the earlier one that was planned before."""
    planned = table.c.entry_id.in_(entry_ids)
    head.connection.execute(table.delete().where(planned, table.c.due_us > due_us))
    known = set(head.connection.execute(sa.select(table.c.entry_id).where(planned)).scalars())
    rest = sa.select(entry.c.id).where(entry.c.id.in_(entry_ids), entry.c.pdq != ERASED)
    rows = [
        {"entry_id": entry_id, "due_us": due_us}
        for entry_id in head.connection.execute(rest).scalars()
        if entry_id not in known
    ]
    if rows:
        head.connection.execute(table.insert(), rows)


def cancel(head: Head, entry_ids: Sequence[int]) -> None:
    """Let entries be erased no more.

    Raises:
        EntryErased: one of them is, or its time has come.
    """
    planned = table.c.entry_id.in_(entry_ids)
    gone = head.connection.execute(
        table.delete().where(planned, table.c.due_us > head.now_us)
    ).rowcount
    if gone != len(entry_ids):
        raise EntryErased(
            f"{len(entry_ids) - gone} of {len(entry_ids)} entries are erased and cannot be "
            "restored; bank the picture again",
            erased=len(entry_ids) - gone,
        )


def due(connection: sa.Connection, now_us: int, limit: int) -> list[int]:
    """Return up to so many entries whose time has come, the earliest first."""
    query = sa.select(table.c.entry_id).where(table.c.due_us <= now_us)
    return list(connection.execute(query.order_by(table.c.due_us).limit(limit)).scalars())


def wipe(head: Head, entry_ids: Sequence[int]) -> int:
    """Overwrite the codes of withdrawn entries; return how many had any."""
    head.connection.execute(fingerprint.delete().where(fingerprint.c.entry_id.in_(entry_ids)))
    return head.connection.execute(
        entry.update()
        .where(entry.c.id.in_(entry_ids), entry.c.pdq != ERASED)
        .values(pdq=ERASED, quality=None, code_count=0)
    ).rowcount


def finish(head: Head, entry_ids: Sequence[int]) -> None:
    """Forget that entries were to be erased: it is done."""
    head.connection.execute(table.delete().where(table.c.entry_id.in_(entry_ids)))
