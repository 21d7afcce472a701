"""What the index reads: the whole state at one revision, then pages of what changed.

A page names what changed and carries the state it has now, so that applying a page
twice, or late, leads to the same index.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from imageward_index.block import Block
from imageward_index.pdq import HASH_BYTES
from imageward_index.policy import Bank
from imageward_server.errors import DataCorrupt
from imageward_server.store import banks
from imageward_server.store.codes import Codes, Kind
from imageward_server.store.records import EntryStates, FeedPage
from imageward_server.store.schema import ChangeKind, EntryState, change, entry, fingerprint

CHANGES_PER_PAGE = 64
# A page takes no further change once it has so many entries, of up to 3.6 KB each.
ENTRIES_PER_PAGE = 4_096
ROWS_PER_BLOCK = 65_536
FINGERPRINTS_PER_BLOCK = 4_096

_FINGERPRINTED = fingerprint.join(entry, entry.c.id == fingerprint.c.entry_id)
_IS_ACTIVE = entry.c.state == EntryState.ACTIVE


def page_after(connection: sa.Connection, codes: Codes, revision: int) -> FeedPage | None:
    """Return the next changes after a revision, or None when there are none."""
    changes = _page_of(
        connection.execute(
            sa.select(change)
            .where(change.c.revision > revision)
            .order_by(change.c.revision)
            .limit(CHANGES_PER_PAGE)
        ).all()
    )
    if not changes:
        return None
    entries = _states(
        codes,
        (
            row
            for item in changes
            if item.kind == ChangeKind.ENTRIES
            for row in _entry_rows(connection, item.first_entry_id, item.entry_count)
        ),
    )
    bank_changed = any(item.kind == ChangeKind.BANK for item in changes)
    return FeedPage(changes[-1].revision, entries, all_banks(connection) if bank_changed else None)


def all_banks(connection: sa.Connection) -> tuple[Bank, ...]:
    """Return every bank."""
    return tuple(record.bank for record in banks.every(connection))


def active_count(connection: sa.Connection) -> int:
    """Count the entries that checks see."""
    return sum(record.active_count for record in banks.every(connection))


def active_blocks(connection: sa.Connection, codes: Codes) -> Iterator[Block]:
    """Yield the ids and hashes of active entries."""
    query = (
        sa.select(entry.c.id, entry.c.pdq)
        .where(_IS_ACTIVE)
        .order_by(entry.c.id)
        .execution_options(yield_per=ROWS_PER_BLOCK)
    )
    for block in connection.execute(query).partitions():
        yield Block(*_arrays(codes.open(Kind.HASH, ((row[0], row[1]) for row in block))))


def fingerprint_count(connection: sa.Connection) -> int:
    """Count the fingerprints of active entries."""
    count: int = connection.execute(
        sa.select(sa.func.count()).select_from(_FINGERPRINTED).where(_IS_ACTIVE)
    ).scalar_one()
    return count


def fingerprint_blocks(connection: sa.Connection, codes: Codes) -> Iterator[dict[int, bytes]]:
    """Yield the fingerprints of active entries by id, some thousands at a time."""
    query = (
        sa.select(fingerprint.c.entry_id, fingerprint.c.data)
        .select_from(_FINGERPRINTED)
        .where(_IS_ACTIVE)
        .order_by(fingerprint.c.entry_id)
        .execution_options(yield_per=FINGERPRINTS_PER_BLOCK)
    )
    for block in connection.execute(query).partitions():
        yield dict(codes.open(Kind.FINGERPRINT, ((row[0], row[1]) for row in block)))


def _page_of(changes: Sequence[Any]) -> Sequence[Any]:
    """Cut a page after the change that fills it; the first always fits."""
    totals = accumulate(item.entry_count or 0 for item in changes)
    before = sum(total < ENTRIES_PER_PAGE for total in totals)
    return changes[: before + 1]


def _entry_rows(
    connection: sa.Connection, first_id: int, count: int
) -> Iterator[tuple[int, int, bytes, bytes | None]]:
    query = (
        sa.select(entry.c.id, entry.c.state, entry.c.pdq, fingerprint.c.data)
        .outerjoin_from(entry, fingerprint, fingerprint.c.entry_id == entry.c.id)
        .where(entry.c.id.between(first_id, first_id + count - 1))
    )
    for row in connection.execute(query):
        yield row[0], row[1], row[2], row[3]


def _states(codes: Codes, rows: Iterable[tuple[int, int, bytes, bytes | None]]) -> EntryStates:
    """Sort entries by state, each once however often it changed.

    One whose key was destroyed since counts as withdrawn, whatever its row says.
    """
    hashes: dict[int, bytes] = {}
    fingerprints: dict[int, bytes] = {}
    withdrawn: set[int] = set()
    for entry_id, state, code, data in rows:
        if state != EntryState.ACTIVE:
            withdrawn.add(entry_id)
            continue
        hashes[entry_id] = code
        if data is not None:
            fingerprints[entry_id] = data
    active = dict(codes.open(Kind.HASH, hashes.items()))
    withdrawn |= hashes.keys() - active.keys()
    described = dict(codes.open(Kind.FINGERPRINT, fingerprints.items()))
    withdrawn_ids = np.fromiter(withdrawn, np.int64, count=len(withdrawn))
    # A key may go between the two.
    described = {entry_id: data for entry_id, data in described.items() if entry_id in active}
    return EntryStates(*_arrays(active.items()), described, withdrawn_ids)


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
