"""The store stands on SQLAlchemy, not on SQLite: all of it compiles for PostgreSQL."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

import imageward_server
from imageward_index.policy import Policy
from imageward_server.audit.row import SERVER
from imageward_server.errors import EntryNotFound, KeysUnusable
from imageward_server.store import EntryState, Store
from imageward_server.store.schema import metadata

if TYPE_CHECKING:
    from conftest import MakeEntries

TABLES = metadata.tables
PACKAGE = Path(imageward_server.__file__).parent
MIGRATION_PACKAGE = "imageward_server.store.migrations.versions"
MIGRATIONS = PACKAGE / "store" / "migrations" / "versions"
# Where a word of SQLite's may stand outside the engine, and why.
ALLOWED = {
    # The spelling of a key's type by dialect is SQLAlchemy's own way to stay portable; a
    # migration imports nothing of today's code, so that it stays what it was.
    ("store/schema.py", "sqlite"),
    ("store/migrations/versions/v1_first_tables.py", "sqlite"),
    ("store/migrations/versions/v2_fingerprints.py", "sqlite"),
    ("store/migrations/versions/v4_audit.py", "sqlite"),
    ("store/migrations/versions/v5_at_rest.py", "sqlite"),
    # The name of what went wrong, where there is one.
    ("tracebacks.py", "sqlite_errorname"),
    # The default of an empty store_url, told to the operator.
    ("config.py", "SQLAlchemy URL of the store. Empty: SQLite in data_dir."),
}


def words(source: str) -> Iterator[str]:
    """Yield every name and every string of a module that is not a docstring."""
    tree = ast.parse(source)
    docstrings = {
        id(parent.body[0].value)
        for parent in ast.walk(tree)
        if isinstance(parent, ast.Module | ast.ClassDef | ast.FunctionDef)
        and isinstance(parent.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)) if id(node) not in docstrings:
                yield text
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.alias(name=name):
                yield name
            case ast.ImportFrom(module=str(name)):
                yield name


def test_only_the_engine_knows_which_database_it_is() -> None:
    """No other module of the server names SQLite or sends it a PRAGMA, but for what is listed."""
    found = {
        (path.relative_to(PACKAGE).as_posix(), word)
        for path in PACKAGE.rglob("*.py")
        for word in words(path.read_text())
        if "sqlite" in word.lower() or "pragma" in word.lower()
    }
    assert {item for item in found if item[0] != "store/engine.py"} == ALLOWED
    assert ("store/engine.py", "sqlite3") in found


@pytest.fixture
def statements(store: Store) -> list[object]:
    """Return what the store executes from now on, before it becomes SQL."""
    executed: list[object] = []

    @sa.event.listens_for(store._engine, "before_execute")
    def note(_connection: sa.Connection, statement: object, *_: object) -> None:
        executed.append(statement)

    return executed


def use_everything(store: Store, make_entries: MakeEntries) -> None:
    """Call every method of the store."""
    store.open()
    store.create_bank("known", Policy())
    store.update_bank("known", lambda policy: policy)
    store.get_bank("known")
    store.list_banks("", 10)
    store.all_banks()
    ids = store.add_entries("known", "request 1", make_entries(5)).entry_ids
    store.add_entries("known", "request 1", make_entries(5))
    store.set_state(ids[::2], EntryState.WITHDRAWN)
    store.audit(SERVER, "get entry", entry_ids=ids)
    store.check_point()
    store.renew_audit(SERVER)
    store.require_upgraded()
    assert store.audit_keys
    store.copy_to(Path(store.url.partition(":///")[2]).with_name("copy"))
    store.get_entry(ids[0])
    store.get_fingerprint(ids[1])
    with pytest.raises(EntryNotFound):
        store.get_entry(1)
    assert store.segment_keys("segments") is None
    assert store.due_erasures(10) == []
    store.erase(ids[:1])
    assert store.finish_erasures(ids[:1])
    with pytest.raises(KeysUnusable):
        store.encrypt(lambda _: None)
    store.list_entries(bank_number=None, state=None, after_id=0, limit=10)
    store.list_entries(bank_number=1, state=EntryState.ACTIVE, after_id=0, limit=10)
    store.revision()
    store.store_id()
    store.position()
    store.last_serial()
    store.changes_after(0)
    with store.changing(), store.reading():
        pass
    with store.snapshot() as snapshot:
        list(snapshot.hash_blocks)
        list(snapshot.fingerprint_blocks)
    store.close()


def test_the_scenario_leaves_no_method_out(store: Store, make_entries: MakeEntries) -> None:
    """A method that is added to the store joins the scenario, or this fails."""
    called: set[str] = set()

    class Noting:
        def __getattr__(self, name: str) -> Callable[..., object]:
            called.add(name)
            method: Callable[..., object] = getattr(store, name)
            return method

    use_everything(Noting(), make_entries)  # type: ignore[arg-type]
    public = {name for name in vars(Store) if not name.startswith("_")}
    assert called == public


def test_every_statement_compiles_for_postgresql(
    store: Store, statements: list[object], make_entries: MakeEntries
) -> None:
    """All that the store executes is an expression that PostgreSQL's dialect can write."""
    use_everything(store, make_entries)
    kinds = set()
    for statement in statements:
        assert isinstance(statement, sa.sql.ClauseElement)
        assert not isinstance(statement, sa.TextClause)
        assert str(statement.compile(dialect=postgresql.dialect()))
        kinds.add(type(statement).__name__)
    assert kinds >= {"Insert", "Update", "Delete", "Select"}


def test_every_table_compiles_for_postgresql() -> None:
    """The tables' keys of 63 bits are BIGINT there, their contents BYTEA and JSON."""
    dialect = postgresql.dialect()
    sql = {name: str(CreateTable(table).compile(dialect=dialect)) for name, table in TABLES.items()}
    assert "id BIGINT NOT NULL" in sql["entry"]
    assert "pdq BYTEA NOT NULL" in sql["entry"]
    assert "revision BIGINT NOT NULL" in sql["change"]
    assert "surfaces JSON NOT NULL" in sql["bank"]
    assert "SERIAL" not in "".join(sql.values())
    indexes = [
        str(CreateIndex(index).compile(dialect=dialect))
        for table in TABLES.values()
        if not table.name.startswith("intake_")
        for index in table.indexes
    ]
    assert sorted(indexes) == [
        "CREATE INDEX ix_audit_row_case_number ON audit_row (case_number)",
        "CREATE INDEX ix_erasure_due_us ON erasure (due_us)",
        "CREATE INDEX ix_request_created_us ON request (created_us)",
    ]


def test_every_migration_compiles_for_postgresql() -> None:
    """What the migrations would send to PostgreSQL, in their order, makes every table."""
    written = StringIO()
    context = MigrationContext.configure(
        dialect_name="postgresql", opts={"as_sql": True, "output_buffer": written}
    )
    names = sorted(path.stem for path in MIGRATIONS.glob("v*.py"))
    with Operations.context(context):
        for name in names:
            importlib.import_module(f"{MIGRATION_PACKAGE}.{name}").upgrade()
    sql = "".join(written.getvalue().split())
    assert len(names) > 1
    assert all(f"CREATETABLE{name}(" in sql for name in TABLES)
    assert re.search(r"INSERTINTOhead\(id,store_id,revision,serial\)VALUES\(1,'\w{32}',0,0\);", sql)
