"""How the store connects: durable, one writer at a time, and its failures named."""

from __future__ import annotations

import itertools
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from imageward_index.policy import Policy
from imageward_server.errors import DataCorrupt, StoreUnavailable
from imageward_server.store import Store, engine
from imageward_server.store.engine import FILE_NAME, open_engine, reading, writing
from imageward_server.store.schema import bank, entry, request
from imageward_server.store.turn import next_to_write, place_of

if TYPE_CHECKING:
    from conftest import MakeEntries

# A commit on a disk that takes its time.
SLOW_COMMIT_S = 0.1
WRITES = 5
PATIENCE_S = 60


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of the store's file."""
    return tmp_path / FILE_NAME


@contextmanager
def opened(url: str) -> Iterator[sa.Engine]:
    """Open a second engine on the store, as another process would."""
    other = open_engine(url)
    try:
        yield other
    finally:
        other.dispose()


@pytest.mark.parametrize(
    ("pragma", "value"),
    [
        ("journal_mode", "wal"),
        ("synchronous", 2),
        ("foreign_keys", 1),
        ("secure_delete", 1),
        ("busy_timeout", 15_000),
    ],
)
@pytest.mark.parametrize("side", [reading, writing])
def test_every_connection_keeps_what_is_acknowledged(
    store: Store, side: Callable[[sa.Engine], Iterator[sa.Connection]], pragma: str, value: object
) -> None:
    """All connections, readers' and writers', have the pragmas that durability needs."""
    with reading(store._engine), side(store._engine) as connection:
        assert value == connection.exec_driver_sql(f"PRAGMA {pragma}").scalar_one()


def test_deleted_contents_do_not_stay_in_the_file(store: Store, path: Path) -> None:
    """What is deleted is overwritten, not left in free pages."""
    mark = "reference that must go " * 5
    with writing(store._engine) as connection:
        connection.execute(
            entry.insert().values(
                id=1, state=1, source=1, pdq=bytes(32), reference=mark, created_us=0,
                updated_us=0, revision=0,
            )
        )  # fmt: skip
        connection.execute(entry.delete())
    store.close()
    assert mark.encode() not in path.read_bytes()


def test_a_failed_change_is_undone(store: Store) -> None:
    """An exception inside a writing transaction leaves nothing of it."""
    with pytest.raises(ZeroDivisionError):
        change_and_fail(store)
    assert store.revision() == 0


def change_and_fail(store: Store) -> None:
    """Change the store and fail before the end of the transaction."""
    with writing(store._engine) as connection:
        connection.exec_driver_sql("UPDATE head SET revision = 9")
        raise ZeroDivisionError


def test_a_writer_begins_as_one(store: Store, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second writer waits from its first moment, and is refused when it waited long enough."""
    monkeypatch.setattr(engine, "BUSY_TIMEOUT_MS", 1)
    store.create_bank("known", Policy())
    with opened(url) as other, writing(store._engine):
        with pytest.raises(StoreUnavailable), writing(other):
            pytest.fail("two writers are inside")
        with reading(other) as connection:
            assert len(connection.execute(sa.select(bank)).all()) == 1


def test_a_writer_gets_its_turn_beside_one_that_does_not_pause(store: Store, path: Path) -> None:
    """A writer comes in although another, on a slow disk, begins again as soon as it is done."""
    inside, done = Event(), Event()

    def write_without_pause() -> int:
        # Bare, so that hardly a moment passes between two transactions.
        with closing(sqlite3.connect(path, PATIENCE_S, isolation_level=None)) as connection:
            for count in itertools.count():
                with next_to_write(path, time.monotonic() + PATIENCE_S):
                    connection.execute("BEGIN IMMEDIATE")
                inside.set()
                done.wait(SLOW_COMMIT_S)
                connection.execute("COMMIT")
                if done.is_set():
                    return count
        raise AssertionError

    with ThreadPoolExecutor(1) as pool:
        rival = pool.submit(write_without_pause)
        try:
            assert inside.wait(PATIENCE_S)
            for number in range(WRITES):
                store.create_bank(f"bank-{number}", Policy())
        finally:
            done.set()
        # In turns: of a lottery that the faster one wins, it would be dozens.
        assert rival.result(PATIENCE_S) <= 2 * WRITES


def test_without_a_place_in_line_nobody_writes(store: Store, path: Path) -> None:
    """What stands where the line's file should be is a store that does not answer; reads go on."""
    place_of(path).unlink(missing_ok=True)
    place_of(path).mkdir()
    with pytest.raises(StoreUnavailable, match="stand in line"):
        store.create_bank("known", Policy())
    assert store.all_banks() == []


def test_a_reader_sees_one_state(store: Store) -> None:
    """What is committed while a reader reads is not seen by it, and is by the next."""
    count = sa.select(sa.func.count()).select_from(bank)
    with reading(store._engine) as connection:
        assert connection.execute(count).scalar_one() == 0
        store.create_bank("known", Policy())
        assert connection.execute(count).scalar_one() == 0
    with reading(store._engine) as connection:
        assert connection.execute(count).scalar_one() == 1


def test_too_few_connections_are_a_store_that_does_not_answer(url: str, store: Store) -> None:
    """A call that gets no connection in time is told to try again, not that we are wrong."""
    del store
    narrow = sa.create_engine(url, pool_size=1, max_overflow=0, pool_timeout=0.01)
    with reading(narrow), pytest.raises(StoreUnavailable), reading(narrow):
        pytest.fail("one connection served two")
    narrow.dispose()


def test_a_mistake_of_ours_is_not_the_stores(store: Store) -> None:
    """A broken constraint and a value that cannot be bound stay what they are."""
    with pytest.raises(sa.exc.IntegrityError), writing(store._engine) as connection:
        connection.exec_driver_sql("INSERT INTO head (id, revision, serial) VALUES (2, 0, 0)")
    with pytest.raises(sa.exc.DatabaseError) as error, reading(store._engine) as connection:
        connection.exec_driver_sql("SELECT ?", (object(),))
    assert isinstance(error.value.orig, sqlite3.Error)


def test_a_file_of_something_else_is_corrupt(path: Path, url: str) -> None:
    """A file that is no database is refused and left as it is."""
    path.write_bytes(b"not a database, and long enough to be looked at " * 99)
    before = path.read_bytes()
    refuse_as_corrupt(url, path)
    assert before == path.read_bytes()


@pytest.mark.parametrize("position", [0, 7, 15])
def test_a_flipped_header_is_corrupt(store: Store, path: Path, url: str, position: int) -> None:
    """One byte of the header's magic string is enough to refuse the file."""
    store.close()
    contents = bytearray(path.read_bytes())
    contents[position] ^= 0xFF
    path.write_bytes(contents)
    refuse_as_corrupt(url, path)


@pytest.mark.parametrize("keep", [0.3, 0.6])
def test_a_cut_file_is_corrupt(store: Store, path: Path, url: str, keep: float) -> None:
    """A file that lost its end is refused when its missing pages are met."""
    store.close()
    contents = path.read_bytes()
    path.write_bytes(contents[: int(len(contents) * keep)])
    refuse_as_corrupt(url, path)


def refuse_as_corrupt(url: str, path: Path) -> None:
    """Insist that the store does not open, and that the message does not say where it is."""
    store = Store(url)
    with pytest.raises(DataCorrupt, match="restore the last backup") as refusal:
        store.open()
    assert path.name not in str(refusal.value)
    assert str(path.parent) not in str(refusal.value)
    store.close()


def test_damage_of_an_index_is_corrupt_too(
    store: Store, path: Path, make_entries: MakeEntries
) -> None:
    """SQLite's finer codes, such as of an index without its row, are damage as well."""
    store.create_bank("known", Policy())
    store.add_entries("known", "request 1", make_entries(1))
    store.close()
    with closing(sqlite3.connect(path)) as connection:
        # Change a row behind the back of its index.
        schema = "FROM sqlite_master WHERE name = 'ix_request_created_us'"
        row = connection.execute(f"SELECT type, name, tbl_name, rootpage, sql {schema}").fetchone()
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(f"DELETE {schema}")
        connection.commit()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE request SET created_us = 5")
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("INSERT INTO sqlite_master VALUES (?, ?, ?, ?, ?)", row)
        connection.commit()
    with pytest.raises(DataCorrupt) as refusal, writing(store._engine) as connection:
        connection.execute(request.delete().where(request.c.id == "request 1"))
    cause = refusal.value.__cause__
    assert isinstance(cause, sa.exc.DatabaseError)
    assert cause.orig.sqlite_errorcode == sqlite3.SQLITE_CORRUPT_INDEX  # type: ignore[union-attr]


@pytest.mark.parametrize("widths", [(31, 33), (0, 64), (16, 16)])
def test_a_hash_of_another_width_is_corrupt(
    store: Store, make_entries: MakeEntries, widths: tuple[int, int]
) -> None:
    """Hashes of odd widths do not shift their neighbours onto other ids: they are refused."""
    store.create_bank("known", Policy())
    ids = store.add_entries("known", "request 1", make_entries(2)).entry_ids
    with writing(store._engine) as connection:
        for entry_id, width in zip(ids, widths, strict=True):
            connection.execute(
                entry.update().where(entry.c.id == entry_id).values(pdq=bytes(width))
            )
    with pytest.raises(DataCorrupt), store.snapshot() as snapshot:
        list(snapshot.hash_blocks)
    with pytest.raises(DataCorrupt):
        store.changes_after(0)
