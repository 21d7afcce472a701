"""What the index reads: the whole state at one revision, then pages of what changed.

A page names what changed and carries the state it has now, so that applying a page
twice, or late, leads to the same index.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from imageward_index.block import Block
from imageward_index.pdq import HASH_BYTES
from imageward_index.policy import Bank
from imageward_server.errors import DataCorrupt
from imageward_server.store import banks
from imageward_server.store.records import EntryStates, FeedPage
from imageward_server.store.schema import ChangeKind, EntryState, change, entry

# Each may stand for a batch of up to 1,024 entries.
CHANGES_PER_PAGE = 64
ROWS_PER_BLOCK = 65_536


def page_after(connection: sa.Connection, revision: int) -> FeedPage | None:
    """Return the next changes after a revision, or None when there are none."""
    changes = connection.execute(
        sa.select(change)
        .where(change.c.revision > revision)
        .order_by(change.c.revision)
        .limit(CHANGES_PER_PAGE)
    ).all()
    if not changes:
        return None
    entries = _states(
        row
        for item in changes
        if item.kind == ChangeKind.ENTRIES
        for row in _entry_rows(connection, item.first_entry_id, item.entry_count)
    )
    bank_changed = any(item.kind == ChangeKind.BANK for item in changes)
    return FeedPage(changes[-1].revision, entries, all_banks(connection) if bank_changed else None)


def all_banks(connection: sa.Connection) -> tuple[Bank, ...]:
    """Return every bank."""
    return tuple(record.bank for record in banks.every(connection))


def active_count(connection: sa.Connection) -> int:
    """Count the entries that checks see."""
    return sum(record.active_count for record in banks.every(connection))


def active_blocks(connection: sa.Connection) -> Iterator[Block]:
    """Yield the ids and hashes of active entries."""
    query = (
        sa.select(entry.c.id, entry.c.pdq)
        .where(entry.c.state == EntryState.ACTIVE)
        .order_by(entry.c.id)
        .execution_options(yield_per=ROWS_PER_BLOCK)
    )
    for block in connection.execute(query).partitions():
        yield Block(*_arrays((row[0], row[1]) for row in block))


def _entry_rows(
    connection: sa.Connection, first_id: int, count: int
) -> Iterator[tuple[int, int, bytes]]:
    query = sa.select(entry.c.id, entry.c.state, entry.c.pdq).where(
        entry.c.id.between(first_id, first_id + count - 1)
    )
    for row in connection.execute(query):
        yield row[0], row[1], row[2]


def _states(rows: Iterable[tuple[int, int, bytes]]) -> EntryStates:
    """Sort entries by state, each once however often it changed."""
    active: dict[int, bytes] = {}
    withdrawn: set[int] = set()
    for entry_id, state, code in rows:
        if state == EntryState.ACTIVE:
            active[entry_id] = code
        else:
            withdrawn.add(entry_id)
    ids, codes = _arrays(active.items())
    return EntryStates(ids, codes, np.fromiter(withdrawn, np.int64, count=len(withdrawn)))


def _arrays(pairs: Iterable[tuple[int, bytes]]) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    ids, codes = zip(*pairs, strict=True) if (pairs := list(pairs)) else ((), ())
    # Joined, a short code would shift all that follow onto other ids.
    if any(len(code) != HASH_BYTES for code in codes):
        raise DataCorrupt(
            f"the store holds a hash that is not {HASH_BYTES} bytes; "
            "stop the server and restore the last backup",
            bytes_expected=HASH_BYTES,
        )
    return (
        np.array(ids, dtype=np.int64),
        np.frombuffer(b"".join(codes), dtype=np.uint8).reshape(-1, HASH_BYTES),
    )
