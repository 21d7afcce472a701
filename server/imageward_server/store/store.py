"""The face of the store: one method a change or a question, each one transaction."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from imageward_index.block import Block
from imageward_index.fingerprint import Fingerprint
from imageward_index.policy import Bank, Policy
from imageward_server.audit.keys import NO_SECRET, AuditKeys
from imageward_server.audit.row import SERVER, Actor, Checkpoint
from imageward_server.errors import StoreIncompatible
from imageward_server.keys.segment_secrets import SegmentSecrets
from imageward_server.keys.vault import Vault
from imageward_server.store import banks, encrypting, encryption, entries, erasures, feed
from imageward_server.store.codes import ClearCodes, Codes
from imageward_server.store.engine import (
    copy_database,
    empty_log,
    open_engine,
    reading,
    rewrite,
    writing,
)
from imageward_server.store.head import Head, current_revision, last_serial, position, store_id
from imageward_server.store.ledger import Deed, Ledger
from imageward_server.store.migrate import format_of, newest_format, upgrade
from imageward_server.store.records import Addition, BankRecord, EntryRecord, FeedPage, NewEntry
from imageward_server.store.schema import EntryState

_STATE_ACTIONS = {
    EntryState.ACTIVE: "restore entries",
    EntryState.WITHDRAWN: "withdraw entries",
}

# A caller that retries does so within minutes; a week outlives any queue.
REQUEST_MEMORY_S = 7 * 24 * 3600
# A withdrawal that was a mistake is noticed within days.
ERASE_AFTER_S = 7 * 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole store at one revision, for an index to begin with.

    Attributes:
        revision: the last change in it.
        banks: all banks.
        active_count: how many entries `hash_blocks` will yield.
        hash_blocks: their ids and hashes.
        fingerprint_count: how many entries `fingerprint_blocks` will yield.
        fingerprint_blocks: fingerprints by id, of those that have regional codes.
    """

    revision: int
    banks: tuple[Bank, ...]
    active_count: int
    hash_blocks: Iterator[Block]
    fingerprint_count: int
    fingerprint_blocks: Iterator[dict[int, bytes]]


class Store:
    """Banks, entries and the feed of their changes, in a database.

    Safe under concurrent use. A change is durable when its method returns, and so is the
    row of the audit that tells of it.

    Args:
        url: SQLAlchemy's URL of the database.
        clock: seconds since 1970 UTC.
        keys: what the audit is written with.
        tell: called with each checkpoint of the audit that is made, once it is durable.
        vault: the keys that entries' codes are encrypted with; None to keep them in clear.
        erase_after_s: how long a withdrawn entry can be restored, in seconds.
    """

    def __init__(
        self,
        url: str,
        clock: Callable[[], float] = time.time,
        keys: AuditKeys = NO_SECRET,
        tell: Callable[[Checkpoint], None] = lambda _: None,
        *,
        vault: Vault | None = None,
        erase_after_s: float = ERASE_AFTER_S,
    ) -> None:
        self._engine = open_engine(url)
        self._clock = clock
        self._ledger = Ledger(keys)
        self._tell = tell
        self._vault = vault
        self._erase_after_us = int(erase_after_s * 1_000_000)
        self._codes: Codes = ClearCodes()
        # The database orders writers of several processes; this spares those of
        # one process the waiting by trial and error that SQLite does.
        self._writer = threading.Lock()

    def open(self, *, with_codes: bool = True) -> None:
        """Create or upgrade the tables.

        Args:
            with_codes: whether entries' codes shall be read and written; without, an
                encrypted store needs no keys.

        Raises:
            StoreIncompatible: a newer version wrote this store.
            DataCorrupt: the file is damaged or not a database, or the audit was written
                with another key.
            KeysUnusable: the keys do not fit the store; nothing is written then.
        """
        if with_codes:
            with reading(self._engine) as connection:
                encryption.require_keys(encryption.standing_of(connection), self._vault)
        upgrade(self._engine)
        with self._changing() as head:
            head.checkpoints += self._ledger.open(head.connection, head.now_us, head.revision)
            if with_codes:
                self._codes = encryption.take_up(head, self._vault)
            _forget_requests(head)

    @property
    def url(self) -> str:
        """SQLAlchemy's URL of the database, with its password."""
        return self._engine.url.render_as_string(hide_password=False)

    @property
    def audit_keys(self) -> AuditKeys:
        """What the audit is written with."""
        return self._ledger.keys

    def require_upgraded(self) -> None:
        """Accept a store that is read as it is, without opening it.

        Raises:
            StoreIncompatible: it is of an older or newer format.
        """
        at = format_of(self._engine)
        if at != newest_format():
            raise StoreIncompatible(
                f"the store is of format {at}, and this version reads {newest_format()}; "
                "start the server once, or run the version that wrote it",
                store_format=at,
            )

    def copy_to(self, file: Path) -> None:
        """Write a copy of the database; see `engine.copy_database`."""
        copy_database(self._engine, file)

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def create_bank(self, name: str, policy: Policy, by: Actor = SERVER) -> BankRecord:
        """Make an empty bank; see `banks.create`."""
        with self._changing() as head:
            made = banks.create(head, name, policy)
            head.audit(by, "create bank", bank=name)
            return made

    def update_bank(
        self, name: str, change: Callable[[Policy], Policy], by: Actor = SERVER
    ) -> BankRecord:
        """Replace a bank's policy by what `change` makes of it."""
        with self._changing() as head:
            policy = change(banks.get(head.connection, name).bank.policy)
            changed = banks.update(head, name, policy)
            head.audit(by, "update bank", bank=name)
            return changed

    def get_bank(self, name: str) -> BankRecord:
        """Return one bank; see `banks.get`."""
        with reading(self._engine) as connection:
            return banks.get(connection, name)

    def list_banks(self, after_name: str, limit: int) -> list[BankRecord]:
        """Return banks by name; see `banks.page`."""
        with reading(self._engine) as connection:
            return banks.page(connection, after_name, limit)

    def all_banks(self) -> list[BankRecord]:
        """Return every bank by name."""
        with reading(self._engine) as connection:
            return banks.every(connection)

    def add_entries(
        self,
        bank_name: str,
        request_id: str,
        new_entries: Sequence[NewEntry],
        by: Actor = SERVER,
    ) -> Addition:
        """Bank entries; see `entries.add`."""
        with self._changing() as head:
            _forget_requests(head)
            addition = entries.add(head, bank_name, request_id, new_entries)
            if not addition.replayed:
                head.audit(by, "add entries", bank=bank_name, entry_ids=addition.entry_ids)
            return addition

    def set_state(
        self, entry_ids: Sequence[int], state: EntryState, by: Actor = SERVER
    ) -> tuple[int, int]:
        """Withdraw or restore entries; return the revision and how many changed."""
        with self._changing() as head:
            changed = entries.set_state(head, entry_ids, state)
            head.audit(by, _STATE_ACTIONS[state], entry_ids=entry_ids)
            return head.revision, changed

    def audit(
        self, by: Actor, action: str, *, bank: str = "", entry_ids: Sequence[int] = ()
    ) -> None:
        """Write to the audit what changes nothing in the store, such as a reviewer's read."""
        with self._changing() as head:
            head.audit(by, action, bank=bank, entry_ids=entry_ids)

    def renew_audit(self, by: Actor) -> None:
        """Go on with the audit under this key, whatever key it had; its rows stay."""
        with self._changing() as head:
            deed = Deed(by, "renew audit")
            head.checkpoints += self._ledger.begin(
                head.connection, deed, head.now_us, head.revision
            )

    def check_point(self) -> None:
        """Sign how far the audit is, if its last rows have waited long for it."""
        with self._changing() as head:
            head.checkpoints += self._ledger.check_point(head.connection, head.now_us)

    def get_entry(self, entry_id: int) -> EntryRecord:
        """Return one entry; see `entries.fetch`."""
        with reading(self._engine) as connection:
            return entries.fetch(connection, self._codes, entry_id)

    def get_fingerprint(self, entry_id: int) -> Fingerprint:
        """Return all hashes of one entry; see `entries.fetch_fingerprint`."""
        with reading(self._engine) as connection:
            return entries.fetch_fingerprint(connection, self._codes, entry_id)

    def list_entries(
        self, *, bank_number: int | None, state: EntryState | None, after_id: int, limit: int
    ) -> list[EntryRecord]:
        """Return entries by id; see `entries.page`."""
        with reading(self._engine) as connection:
            return entries.page(
                connection,
                self._codes,
                bank_number=bank_number,
                state=state,
                after_id=after_id,
                limit=limit,
            )

    def store_id(self) -> str:
        """Return the random name that the store was given when it was made."""
        with reading(self._engine) as connection:
            return store_id(connection)

    def last_serial(self) -> int:
        """Return the last serial that was given to an entry, or passed over."""
        with reading(self._engine) as connection:
            return last_serial(connection)

    def revision(self) -> int:
        """Return the last revision."""
        with reading(self._engine) as connection:
            return current_revision(connection)

    def position(self) -> tuple[str, int]:
        """Return the store's random name and its last revision, of one moment."""
        with reading(self._engine) as connection:
            return position(connection)

    def changes_after(self, revision: int) -> FeedPage | None:
        """Return the next page of the feed; see `feed.page_after`."""
        with reading(self._engine) as connection:
            return feed.page_after(connection, self._codes, revision)

    def segment_keys(self, folder_name: str) -> SegmentSecrets | None:
        """Return the keys of a folder of segments; None where nothing is encrypted."""
        if self._vault is None:
            return None
        return self._vault.segment_keys(self.store_id(), folder_name)

    def due_erasures(self, limit: int) -> list[int]:
        """Return entries that are to be erased now; see `erasures.due`."""
        with reading(self._engine) as connection:
            return erasures.due(connection, self._now_us(), limit)

    def erase(self, entry_ids: Sequence[int]) -> None:
        """Overwrite the codes of withdrawn entries, then destroy their keys; durable on return.

        Erasing again changes nothing.
        """
        with self._changing() as head:
            if erasures.wipe(head, entry_ids):
                head.audit(SERVER, "erase entries", entry_ids=entry_ids)
        # After the store: an entry without a key whose codes came back is lost for good.
        self._codes.destroy(entry_ids)

    def finish_erasures(self, entry_ids: Sequence[int]) -> bool:
        """Note that entries are erased everywhere else, and empty the database's log.

        Returns:
            Whether it could be emptied; if not, nothing is noted.
        """
        if not empty_log(self._engine):
            return False
        with self._changing() as head:
            erasures.finish(head, entry_ids)
            encryption.note_destroyed(head, self._codes.destroyed)
        return True

    def encrypt(self, report: Callable[[int], None]) -> None:
        """Encrypt a store in clear, or what is left of one; nobody else may have it open.

        Args:
            report: told how many entries are encrypted so far.

        Raises:
            KeysUnusable: there is no key, or the folder of the keys is of another store.
        """
        upgrade(self._engine)
        with self._changing() as head:
            codes = encrypting.begin(head, self._vault)
        done, last_id, ids = 0, 0, [0]
        while ids:
            with self._changing() as head:
                ids = encrypting.encrypt_next(head, codes, last_id)
            done, last_id = done + len(ids), max(ids, default=0)
            report(done)
        rewrite(self._engine)
        with self._changing() as head:
            encrypting.end(head)
        empty_log(self._engine)

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """Open the whole store at one revision, valid until the context ends."""
        with reading(self._engine) as connection:
            yield Snapshot(
                revision=current_revision(connection),
                banks=feed.all_banks(connection),
                active_count=feed.active_count(connection),
                hash_blocks=feed.active_blocks(connection, self._codes),
                fingerprint_count=feed.fingerprint_count(connection),
                fingerprint_blocks=feed.fingerprint_blocks(connection, self._codes),
            )

    @contextmanager
    def changing(self) -> Iterator[Head]:
        """Open one transaction for entries and the intake's tables: all of it or nothing."""
        with self._changing() as head:
            yield head

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Open one state of the store for questions that no method asks."""
        with reading(self._engine) as connection:
            yield connection

    @contextmanager
    def _changing(self) -> Iterator[Head]:
        with self._writer, writing(self._engine) as connection:
            head = Head.take(
                connection,
                self._ledger,
                self._codes,
                erase_after_us=self._erase_after_us,
                now_us=self._now_us(),
            )
            yield head
            assert head.audited_revision == head.revision, "a change that the audit misses"
        for made in head.checkpoints:
            self._tell(made)

    def _now_us(self) -> int:
        return int(self._clock() * 1_000_000)


def _forget_requests(head: Head) -> None:
    # At every addition, not only when a store is opened: a server runs for months.
    entries.forget_requests(head.connection, head.now_us - REQUEST_MEMORY_S * 1_000_000)
