"""Entries in the store: functions over a connection, which is one transaction."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from imageward_index.entry_id import SERIAL_BITS, bank_number_of, make_entry_id, runs_of
from imageward_index.errors import InvalidFingerprint
from imageward_index.fingerprint import Fingerprint
from imageward_index.pdq import PdqHash
from imageward_server.errors import DataCorrupt, EntryNotFound, RequestIdReused
from imageward_server.store import banks
from imageward_server.store.head import Head
from imageward_server.store.records import Addition, EntryRecord, NewEntry
from imageward_server.store.schema import EntrySource, EntryState, fingerprint, request
from imageward_server.store.schema import entry as table


def add(head: Head, bank_name: str, request_id: str, new_entries: Sequence[NewEntry]) -> Addition:
    """Bank entries under ids in a row, or answer as the first time for a known request.

    Raises:
        BankNotFound: there is no bank of this name.
        RequestIdReused: the request id came with other contents before.
    """
    bank_number = banks.get(head.connection, bank_name).bank.number
    digest = _digest(bank_name, new_entries)
    earlier = _replay(head.connection, request_id, digest, len(new_entries))
    if earlier is not None:
        return earlier
    first_id = None
    if new_entries:
        first_id = make_entry_id(bank_number, head.next_serials(len(new_entries)))
        head.record_entries(bank_number, first_id, len(new_entries))
        _insert(head, first_id, new_entries)
        banks.count_entries(head, bank_number, active=len(new_entries), withdrawn=0)
    head.connection.execute(
        request.insert().values(
            id=request_id,
            digest=digest,
            first_entry_id=first_id,
            revision=head.revision,
            created_us=head.now_us,
        )
    )
    return Addition(_ids_from(first_id, len(new_entries)), head.revision, replayed=False)


def set_state(head: Head, entry_ids: Sequence[int], state: EntryState) -> int:
    """Withdraw or restore entries, all of them or none; return how many changed.

    Raises:
        EntryNotFound: an id is of no entry.
    """
    records = fetch(head.connection, entry_ids)
    changing = sorted(record.id for record in records if record.state != state)
    for first_id, count in runs_of(changing):
        bank_number = bank_number_of(first_id)
        revision = head.record_entries(bank_number, first_id, count)
        head.connection.execute(
            table.update()
            .where(table.c.id.between(first_id, first_id + count - 1))
            .values(state=state, updated_us=head.now_us, revision=revision)
        )
        gain = count if state == EntryState.ACTIVE else -count
        banks.count_entries(head, bank_number, active=gain, withdrawn=-gain)
    return len(changing)


def fetch(connection: sa.Connection, entry_ids: Sequence[int]) -> list[EntryRecord]:
    """Return entries by their ids, each once, ordered by id.

    Raises:
        EntryNotFound: an id is of no entry.
    """
    wanted = set(entry_ids)
    query = sa.select(table).where(table.c.id.in_(wanted)).order_by(table.c.id)
    records = [_as_record(row) for row in connection.execute(query)]
    if len(records) != len(wanted):
        raise EntryNotFound(
            f"{len(wanted) - len(records)} of {len(wanted)} entry ids are not known here; "
            "list the entries there are",
            unknown=len(wanted) - len(records),
        )
    return records


def page(
    connection: sa.Connection,
    *,
    bank_number: int | None,
    state: EntryState | None,
    after_id: int,
    limit: int,
) -> list[EntryRecord]:
    """Return up to `limit` entries with ids above `after_id`, ordered by id."""
    query = sa.select(table).where(table.c.id > after_id).order_by(table.c.id).limit(limit)
    if bank_number is not None:
        first = bank_number << SERIAL_BITS
        query = query.where(table.c.id >= first, table.c.id < first + (1 << SERIAL_BITS))
    if state is not None:
        query = query.where(table.c.state == state)
    return [_as_record(row) for row in connection.execute(query)]


def fetch_fingerprint(connection: sa.Connection, entry_id: int) -> Fingerprint:
    """Return all hashes of one entry.

    Raises:
        EntryNotFound: the id is of no entry.
    """
    (record,) = fetch(connection, [entry_id])
    query = sa.select(fingerprint.c.data).where(fingerprint.c.entry_id == entry_id)
    data = connection.execute(query).scalar_one_or_none()
    return Fingerprint(record.hash) if data is None else read_fingerprint(data)


def read_fingerprint(data: bytes) -> Fingerprint:
    """Read a fingerprint as it is stored.

    Raises:
        DataCorrupt: it is not one.
    """
    try:
        return Fingerprint.from_bytes(data)
    except InvalidFingerprint as error:
        raise DataCorrupt(
            "the store holds a fingerprint that cannot be read; "
            "stop the server and restore the last backup"
        ) from error


def forget_requests(connection: sa.Connection, before_us: int) -> None:
    """Drop request ids that are too old to be sent again."""
    connection.execute(request.delete().where(request.c.created_us < before_us))


def _digest(bank_name: str, new_entries: Sequence[NewEntry]) -> bytes:
    """Condense a request to what must be equal when its id comes again."""
    contents = repr((bank_name, [_contents(new) for new in new_entries]))
    return hashlib.sha256(contents.encode()).digest()


def _contents(new: NewEntry) -> tuple[bytes, int | None, int, str]:
    # Not the regional codes: another machine may make them a bit otherwise of the same
    # picture, and the request that is sent again to it is the same request.
    whole = new.fingerprint.whole
    return whole.code, whole.quality, int(new.source), new.reference


def _replay(
    connection: sa.Connection, request_id: str, digest: bytes, count: int
) -> Addition | None:
    row = connection.execute(sa.select(request).where(request.c.id == request_id)).first()
    if row is None:
        return None
    if row.digest != digest:
        raise RequestIdReused(
            "this request id came with other contents before; use a new id for new contents"
        )
    return Addition(_ids_from(row.first_entry_id, count), row.revision, replayed=True)


def _insert(head: Head, first_id: int, new_entries: Sequence[NewEntry]) -> None:
    head.connection.execute(
        table.insert(),
        [
            {
                "id": first_id + offset,
                "state": EntryState.ACTIVE,
                "source": new.source,
                "pdq": new.fingerprint.whole.code,
                "quality": new.fingerprint.whole.quality,
                "code_count": len(new.fingerprint.codes),
                "reference": new.reference,
                "created_us": head.now_us,
                "updated_us": head.now_us,
                "revision": head.revision,
            }
            for offset, new in enumerate(new_entries)
        ],
    )
    parts = [
        {"entry_id": first_id + offset, "data": new.fingerprint.to_bytes()}
        for offset, new in enumerate(new_entries)
        if len(new.fingerprint.codes)
    ]
    if parts:
        head.connection.execute(fingerprint.insert(), parts)


def _ids_from(first_id: int | None, count: int) -> tuple[int, ...]:
    return () if first_id is None else tuple(range(first_id, first_id + count))


def _as_record(row: Any) -> EntryRecord:  # noqa: ANN401 - a row's columns are not typed
    return EntryRecord(
        id=row.id,
        state=EntryState(row.state),
        source=EntrySource(row.source),
        hash=PdqHash(row.pdq, row.quality),
        code_count=row.code_count,
        reference=row.reference,
        created_us=row.created_us,
        updated_us=row.updated_us,
        revision=row.revision,
    )
