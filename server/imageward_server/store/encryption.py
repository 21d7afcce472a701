"""Whether a store is encrypted, what opens it, and what a backup brings back of the erased."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import sqlalchemy as sa

from imageward_index.entry_id import SERIAL_MAX
from imageward_server.audit.row import SERVER
from imageward_server.errors import KeysUnusable
from imageward_server.keys.entry_keys import EntryKeys
from imageward_server.keys.vault import Vault
from imageward_server.store import entries, erasures
from imageward_server.store.codes import ERASED, ClearCodes, Codes, SealedCodes
from imageward_server.store.head import Head
from imageward_server.store.schema import Encryption, EntryState, entry
from imageward_server.store.schema import head as table

# Entries that are withdrawn at a time, and ids asked about at a time.
_BATCH = 4096
_IDS_PER_STEP = 65_536


class Standing(NamedTuple):
    """What a store that is there says of itself."""

    store_id: str
    encryption: Encryption
    serial: int


def standing_of(connection: sa.Connection) -> Standing | None:
    """Read what a store says of itself, of an older format too; None if it has no tables."""
    tables = sa.inspect(connection)
    if not tables.has_table(table.name):
        return None
    known = {column["name"] for column in tables.get_columns(table.name)}
    if table.c.encryption.name not in known:
        row = connection.execute(sa.select(table.c.store_id, table.c.serial)).one()
        return Standing(row.store_id, Encryption.NONE, row.serial)
    known_row = connection.execute(
        sa.select(table.c.store_id, table.c.serial, table.c.encryption)
    ).one()
    return Standing(known_row.store_id, Encryption(known_row.encryption), known_row.serial)


def require_keys(standing: Standing | None, vault: Vault | None) -> None:
    """Refuse keys that do not fit the store, before anything is written.

    Raises:
        KeysUnusable: the store is encrypted and the keys are missing or others; or it is
            not, and a key is given.
    """
    if standing is not None and standing.encryption is Encryption.UNDER_WAY:
        raise KeysUnusable(
            "the store is encrypted in part; run `imageward-server keys encrypt-store` again"
        )
    if standing is not None and standing.encryption is Encryption.WHOLE:
        if vault is None:
            raise KeysUnusable(
                "the store is encrypted and no key is given; "
                "set store_key_file or IMAGEWARD_STORE_KEY"
            )
        vault.check(standing.store_id)
    elif vault is not None:
        if standing is not None and standing.serial:
            raise KeysUnusable(
                "a key is given and the store is not encrypted; stop the server and run "
                "`imageward-server keys encrypt-store`, or give no key"
            )
        if vault.exists:
            vault.check(standing.store_id if standing else "")


def take_up(head: Head, vault: Vault | None) -> Codes:
    """Return how the codes of a store are stored; an empty one is encrypted from now on.

    Raises:
        KeysUnusable: the folder of the keys is older than the store.
    """
    if vault is None:
        return ClearCodes()
    standing = standing_of(head.connection)
    assert standing is not None, "the tables are there by now"
    if standing.encryption is Encryption.NONE:
        vault.make(standing.store_id)
        head.connection.execute(table.update().values(encryption=Encryption.WHOLE))
    keys = vault.entry_keys(standing.store_id)
    if standing.serial and not keys.has(standing.serial):
        raise KeysUnusable(
            "the folder of the store's keys is older than the store: its last entries have none; "
            "put back the newest copy"
        )
    _withdraw_destroyed(head, keys)
    return SealedCodes(keys, vault.request_key(standing.store_id))


def note_destroyed(head: Head, keys_destroyed: int) -> None:
    """Write down how many keys were destroyed, once nothing of them is left here."""
    head.connection.execute(table.update().values(destroyed=keys_destroyed))


def _withdraw_destroyed(head: Head, keys: EntryKeys) -> None:
    """Withdraw what a backup brought back, and whose key was destroyed since."""
    destroyed = keys.destroyed
    if head.connection.execute(sa.select(table.c.destroyed)).scalar_one() >= destroyed:
        return
    gone = list(_without_key(head.connection, keys))
    for first in range(0, len(gone), _BATCH):
        ids: Sequence[int] = gone[first : first + _BATCH]
        entries.set_state(head, ids, EntryState.WITHDRAWN, for_good=True)
        erasures.wipe(head, ids)
    if gone:
        head.audit(SERVER, "erase entries", entry_ids=gone)
    note_destroyed(head, destroyed)


def _without_key(connection: sa.Connection, keys: EntryKeys) -> Iterator[int]:
    query = sa.select(entry.c.id).where(entry.c.pdq != ERASED).order_by(entry.c.id)
    stream = connection.execute(query.execution_options(yield_per=_IDS_PER_STEP))
    for part in stream.scalars().partitions():
        ids = np.array(part, np.int64)
        yield from ids[keys.are_destroyed(ids & SERIAL_MAX)].tolist()
