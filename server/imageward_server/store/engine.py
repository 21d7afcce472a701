"""How the store connects. The one file that knows which database it is.

SQLite runs in WAL mode with `synchronous=FULL`: an acknowledged change survives a
power cut. A writing transaction begins IMMEDIATE, because one that begins as a
reader and turns writer fails when another wrote in between.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import event

from imageward_server.errors import DataCorrupt, StoreIncompatible, StoreUnavailable
from imageward_server.store.turn import ask_until, next_to_write

FILE_NAME = "imageward.sqlite3"
# How long a writer waits for its turn, and a statement for another's checkpoint.
BUSY_TIMEOUT_MS = 15_000
_DAMAGED = "the store's file is damaged; stop the server and restore the last backup"
# The lower byte of SQLite's error codes is the kind; the upper ones say more of it.
_KIND_MASK = 0xFF


def sqlite_url(data_dir: Path) -> str:
    """Name the embedded store of a data folder."""
    return f"sqlite:///{data_dir / FILE_NAME}"


def check_file(data_dir: Path) -> None:
    """Refuse an embedded store that was emptied: as a new one it would allow everything.

    Raises:
        DataCorrupt: the file is there and has no bytes.
    """
    file = data_dir / FILE_NAME
    if file.exists() and not file.stat().st_size:
        raise DataCorrupt(
            "the store's file has no bytes; restore the last backup, "
            "or remove the file if the server is new"
        )


def store_url(data_dir: Path, url: str) -> str:
    """Return the URL of a server's store: the one that is set, or the embedded one's."""
    return url or sqlite_url(data_dir)


def require_file(data_dir: Path, url: str) -> None:
    """Refuse a data folder without an embedded store: a command shall not make one.

    Raises:
        OSError: there is none.
        DataCorrupt: it is empty.
    """
    if not url and not (data_dir / FILE_NAME).exists():
        raise FileNotFoundError(f"{data_dir} has no store; name the server's data folder")
    if not url:
        check_file(data_dir)


def without_password(url: str) -> str:
    """Write a database's URL as it may be shown."""
    return sa.make_url(url).render_as_string(hide_password=True) if url else url


def open_engine(url: str) -> sa.Engine:
    """Open a database by its SQLAlchemy URL; nothing connects yet."""
    if not url.startswith("sqlite"):
        return sa.create_engine(url, pool_pre_ping=True)
    engine = sa.create_engine(url, connect_args={"check_same_thread": False})
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


@contextmanager
def reading(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Open a transaction that sees one state of the store and changes nothing."""
    if engine.dialect.name != "sqlite":  # whose every transaction sees one state
        engine = engine.execution_options(isolation_level="REPEATABLE READ")
    with _translated(), engine.connect() as connection, connection.begin():
        yield connection


@contextmanager
def writing(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Open a transaction that changes the store: durable when this returns, or undone."""
    writer = engine.execution_options(imageward_writes=True)
    with _translated(), writer.connect() as connection, connection.begin():
        yield connection


def empty_log(engine: sa.Engine) -> bool:
    """Move what the database's log holds to its place, and cut the log to nothing.

    What was deleted stands in the log until then. A server has a log of its own to care for.

    Returns:
        Whether it was done: readers may be in the way.
    """
    if engine.dialect.name != "sqlite":
        return True
    with _translated(), engine.connect() as connection:
        raw = connection.connection.driver_connection
        assert raw is not None, "a connection that is open has one"
        busy: int = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    return not busy


def rewrite(engine: sa.Engine) -> None:
    """Write the database anew, without what stood in it before; takes its size once more."""
    with _translated(), engine.connect() as connection:
        raw = connection.connection.driver_connection
        assert raw is not None, "a connection that is open has one"
        raw.execute("VACUUM")


def copy_database(engine: sa.Engine, file: Path) -> None:
    """Write a copy of an embedded database, as of one moment, beside its readers and writers.

    It holds no free page, so nothing that was deleted. The online copy of pages would hold
    them, and begins anew whenever another process writes. The copy is not flushed.

    Args:
        engine: the database.
        file: where to; missing or empty.

    Raises:
        StoreIncompatible: the database is not an embedded one.
        DataCorrupt: it is damaged.
        StoreUnavailable: the disk is full, or the file cannot be written.
    """
    if engine.dialect.name != "sqlite":
        raise StoreIncompatible("the store is no file; back it up by its database's own means")
    with _translated(), engine.connect() as connection:
        raw = connection.connection.driver_connection
        assert raw is not None
        try:
            raw.execute("VACUUM INTO ?", (str(file),))  # outside of any transaction
        except sqlite3.DatabaseError as error:
            if _says_corrupt(error):
                raise DataCorrupt(_DAMAGED) from error
            raise StoreUnavailable(
                f"the store cannot be copied: {error}; is the disk full?"
            ) from error


class Copied(NamedTuple):
    """What a copy of an embedded database holds."""

    store_id: str
    store_format: str
    revision: int
    audit_number: int


def describe_copy(file: Path) -> Copied:
    """Read from a copy what it is a copy of, without changing a byte of it."""
    with closing(_open_immutable(file)) as copy:
        store_id, revision = copy.execute("SELECT store_id, revision FROM head").fetchone()
        (store_format,) = copy.execute("SELECT version_num FROM alembic_version").fetchone()
        (audit_number,) = copy.execute("SELECT number FROM audit_head").fetchone()
    return Copied(store_id, store_format, revision, audit_number)


def check_whole(file: Path) -> None:
    """Have a database look through all of itself.

    Raises:
        DataCorrupt: it is damaged.
    """
    with closing(_open_immutable(file)) as copy:
        try:
            found = copy.execute("PRAGMA integrity_check(1)").fetchone()
        except sqlite3.DatabaseError as error:
            raise DataCorrupt("the database cannot be read; take another backup") from error
    if found != ("ok",):
        raise DataCorrupt("the database is damaged inside; take another backup")


def _open_immutable(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro&immutable=1", uri=True)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sa.exc.TimeoutError as error:
        raise StoreUnavailable("every connection to the store is busy; try again") from error
    except sa.exc.DatabaseError as error:
        if _says_corrupt(error.orig):
            raise DataCorrupt(_DAMAGED) from error
        if isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError):
            raise StoreUnavailable("the store does not answer; try again") from error
        raise


def _says_corrupt(error: BaseException | None) -> bool:
    return _kind(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _kind(error: BaseException | None) -> int:
    # Errors of Python's own module, such as a value that cannot be bound, have no code.
    return getattr(error, "sqlite_errorcode", 0) & _KIND_MASK


def _configure_sqlite(connection: sqlite3.Connection, _record: Any) -> None:  # noqa: ANN401 - SQLAlchemy's hook
    # Python's own transaction handling would begin too late and always DEFERRED.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout={BUSY_TIMEOUT_MS}",
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        # What is deleted is overwritten, not left in free pages.
        "secure_delete=ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    if connection.get_execution_options().get("imageward_writes", False):
        _begin_as_writer(connection)
    else:
        connection.exec_driver_sql("BEGIN")


def _begin_as_writer(connection: sa.Connection) -> None:
    database = Path(connection.engine.url.database or "")
    end_s = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    # The wait is in `turn`, which asks oftener than SQLite does.
    connection.exec_driver_sql("PRAGMA busy_timeout=0")
    try:
        with next_to_write(database, end_s):
            if not ask_until(lambda: _begun(connection), end_s):
                raise StoreUnavailable("another writes to the store all the time; try again")
    except OSError as error:
        raise StoreUnavailable(
            "the store's folder lets nobody stand in line to write; try again"
        ) from error
    finally:
        connection.exec_driver_sql(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")


def _begun(connection: sa.Connection) -> bool:
    try:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    except sa.exc.OperationalError as error:
        if _kind(error.orig) != sqlite3.SQLITE_BUSY:
            raise
        return False
    return True
