"""Entries in the store: functions over a connection, which is one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from imageward_index.entry_id import SERIAL_BITS, bank_number_of, make_entry_id, runs_of
from imageward_index.errors import InvalidFingerprint
from imageward_index.fingerprint import Fingerprint
from imageward_index.pdq import PdqHash
from imageward_server.errors import DataCorrupt, EntryErased, EntryNotFound, RequestIdReused
from imageward_server.store import banks, erasures
from imageward_server.store.codes import Codes, Kind
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
    digest = head.codes.digest(_written(bank_name, new_entries))
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


def set_state(
    head: Head, entry_ids: Sequence[int], state: EntryState, *, for_good: bool = False
) -> int:
    """Withdraw or restore entries, all of them or none; return how many changed.

    Args:
        head: the transaction.
        entry_ids: of the entries.
        state: what they shall be.
        for_good: withdrawn entries are erased at once, and not only when they can be
            restored no longer.

    Raises:
        EntryNotFound: an id is of no entry.
        EntryErased: what should be restored is erased, or about to be.
    """
    states = fetch_states(head.connection, entry_ids)
    changing = sorted(entry_id for entry_id, known in states.items() if known != state)
    if state == EntryState.ACTIVE:
        erasures.cancel(head, changing)
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
    if state == EntryState.WITHDRAWN:
        due_us = head.now_us + (0 if for_good else head.erase_after_us)
        erasures.plan(head, sorted(states) if for_good else changing, due_us)
    return len(changing)


def fetch_states(connection: sa.Connection, entry_ids: Sequence[int]) -> dict[int, EntryState]:
    """Return the state of entries by their ids.

    Raises:
        EntryNotFound: an id is of no entry.
    """
    wanted = set(entry_ids)
    query = sa.select(table.c.id, table.c.state).where(table.c.id.in_(wanted))
    found = {row.id: EntryState(row.state) for row in connection.execute(query)}
    _require_all(len(found), len(wanted))
    return found


def fetch(connection: sa.Connection, codes: Codes, entry_id: int) -> EntryRecord:
    """Return one entry.

    Raises:
        EntryNotFound: the id is of no entry.
    """
    rows = connection.execute(sa.select(table).where(table.c.id == entry_id)).all()
    _require_all(len(rows), 1)
    return _as_records(codes, rows)[0]


def page(
    connection: sa.Connection,
    codes: Codes,
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
    return _as_records(codes, connection.execute(query).all())


def fetch_fingerprint(connection: sa.Connection, codes: Codes, entry_id: int) -> Fingerprint:
    """Return all hashes of one entry.

    Raises:
        EntryNotFound: the id is of no entry.
        EntryErased: it has none any more.
    """
    record = fetch(connection, codes, entry_id)
    query = sa.select(fingerprint.c.data).where(fingerprint.c.entry_id == entry_id)
    stored = [(entry_id, row.data) for row in connection.execute(query)]
    for _, data in codes.open(Kind.FINGERPRINT, stored):
        return read_fingerprint(data)
    if record.hash is None:
        raise EntryErased("the entry is erased and has no hashes any more")
    return Fingerprint(record.hash)


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


def _written(bank_name: str, new_entries: Sequence[NewEntry]) -> bytes:
    """Write down what of a request must be equal when its id comes again."""
    return repr((bank_name, [_contents(new) for new in new_entries])).encode()


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
    numbered = list(enumerate(new_entries, first_id))
    head.codes.prepare([entry_id for entry_id, _ in numbered])
    hashes = head.codes.seal(
        Kind.HASH, ((one, new.fingerprint.whole.code) for one, new in numbered)
    )
    head.connection.execute(
        table.insert(),
        [
            {
                "id": entry_id,
                "state": EntryState.ACTIVE,
                "source": new.source,
                "pdq": pdq,
                "quality": new.fingerprint.whole.quality,
                "code_count": len(new.fingerprint.codes),
                "reference": new.reference,
                "created_us": head.now_us,
                "updated_us": head.now_us,
                "revision": head.revision,
            }
            for (entry_id, new), pdq in zip(numbered, hashes, strict=True)
        ],
    )
    parts = [
        (entry_id, new.fingerprint.to_bytes())
        for entry_id, new in numbered
        if len(new.fingerprint.codes)
    ]
    if parts:
        stored = zip(parts, head.codes.seal(Kind.FINGERPRINT, parts), strict=True)
        rows = [{"entry_id": entry_id, "data": data} for (entry_id, _), data in stored]
        head.connection.execute(fingerprint.insert(), rows)


def _require_all(found: int, wanted: int) -> None:
    if found != wanted:
        raise EntryNotFound(
            f"{wanted - found} of {wanted} entry ids are not known here; "
            "list the entries there are",
            unknown=wanted - found,
        )


def _ids_from(first_id: int | None, count: int) -> tuple[int, ...]:
    return () if first_id is None else tuple(range(first_id, first_id + count))


def _as_records(codes: Codes, rows: Sequence[Any]) -> list[EntryRecord]:
    hashes = dict(codes.open(Kind.HASH, ((row.id, row.pdq) for row in rows)))
    return [_as_record(row, hashes.get(row.id)) for row in rows]


def _as_record(row: Any, pdq: bytes | None) -> EntryRecord:  # noqa: ANN401 - a row's columns are not typed
    return EntryRecord(
        id=row.id,
        state=EntryState(row.state),
        source=EntrySource(row.source),
        hash=None if pdq is None else PdqHash(pdq, row.quality),
        code_count=row.code_count,
        reference=row.reference,
        created_us=row.created_us,
        updated_us=row.updated_us,
        revision=row.revision,
    )
