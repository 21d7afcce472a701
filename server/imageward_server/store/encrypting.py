"""How a store in clear becomes an encrypted one: a batch a transaction, begun again after a crash.

A hash in clear has 32 bytes and an encrypted one 48, so the rows themselves say how far it is.
"""

from __future__ import annotations

import sqlalchemy as sa

from imageward_index.pdq import HASH_BYTES
from imageward_server.errors import KeysUnusable
from imageward_server.keys.vault import Vault
from imageward_server.store.codes import Codes, Kind, SealedCodes
from imageward_server.store.encryption import standing_of
from imageward_server.store.head import Head
from imageward_server.store.schema import Encryption, entry, fingerprint, request
from imageward_server.store.schema import head as table

ENTRIES_PER_BATCH = 4096


def begin(head: Head, vault: Vault | None) -> Codes:
    """Note that a store in clear is being encrypted; return what encrypts it.

    Raises:
        KeysUnusable: there is no key, or the folder of the keys is of another store.
    """
    standing = standing_of(head.connection)
    assert standing is not None, "the tables are there by now"
    if vault is None:
        raise KeysUnusable("no key is given; set store_key_file or IMAGEWARD_STORE_KEY")
    vault.make(standing.store_id)
    keys = vault.entry_keys(standing.store_id)
    if standing.serial and not keys.has(standing.serial):
        # The last entry may be erased already; without a key the folder would look old.
        keys.make([standing.serial])
    head.connection.execute(table.update().values(encryption=Encryption.UNDER_WAY))
    return SealedCodes(keys, vault.request_key(standing.store_id))


def encrypt_next(head: Head, codes: Codes, after_id: int) -> list[int]:
    """Encrypt the codes of the next entries that are in clear; return their ids."""
    in_clear = sa.func.length(entry.c.pdq) == HASH_BYTES
    query = sa.select(entry.c.id, entry.c.pdq).where(entry.c.id > after_id, in_clear)
    rows = head.connection.execute(query.order_by(entry.c.id).limit(ENTRIES_PER_BATCH)).all()
    hashes = [(row.id, row.pdq) for row in rows]
    ids = [entry_id for entry_id, _ in hashes]
    if not ids:
        return ids
    codes.prepare(ids)
    _update(head, entry, entry.c.id, entry.c.pdq, codes, Kind.HASH, hashes)
    parts = sa.select(fingerprint.c.entry_id, fingerprint.c.data).where(
        fingerprint.c.entry_id.in_(ids)
    )
    described = [(row.entry_id, row.data) for row in head.connection.execute(parts)]
    columns = (fingerprint, fingerprint.c.entry_id, fingerprint.c.data)
    _update(head, *columns, codes, Kind.FINGERPRINT, described)
    return ids


def end(head: Head) -> None:
    """Note that a store is encrypted, and forget digests of requests that were in clear."""
    head.connection.execute(request.delete())
    head.connection.execute(table.update().values(encryption=Encryption.WHOLE))


def _update(
    head: Head,
    changed: sa.Table,
    key: sa.Column[int],
    column: sa.Column[bytes],
    codes: Codes,
    kind: Kind,
    values: list[tuple[int, bytes]],
) -> None:
    sealed = codes.seal(kind, values)
    if values:
        head.connection.execute(
            changed.update()
            .where(key == sa.bindparam("of_id"))
            .values({column: sa.bindparam("sealed")}),
            [
                {"of_id": entry_id, "sealed": data}
                for (entry_id, _), data in zip(values, sealed, strict=True)
            ],
        )
