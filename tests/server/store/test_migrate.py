"""Migrations: from nothing to the tables of the schema, whole or not at all."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext

import imageward_server.store
from imageward_index.entry_id import make_entry_id
from imageward_index.errors import ImagewardError
from imageward_index.fingerprint import Fingerprint
from imageward_index.pdq import PdqHash
from imageward_index.policy import Action, Policy
from imageward_server.errors import StoreIncompatible
from imageward_server.store import Store
from imageward_server.store.engine import open_engine, reading, writing
from imageward_server.store.schema import metadata

MIGRATIONS = Path(imageward_server.store.__file__).parent / "migrations"


def tables(engine: sa.Engine) -> set[str]:
    """Name the tables that are there."""
    with reading(engine) as connection:
        return set(sa.inspect(connection).get_table_names())


def test_the_migrations_build_the_schema(store: Store) -> None:
    """What the migrations make differs in nothing from what the code reads and writes."""
    with reading(store._engine) as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        checks = sa.inspect(connection).get_check_constraints("head")
    assert [check["name"] for check in checks] == ["head_is_one_row"]
    assert {*metadata.tables, "alembic_version"} == tables(store._engine)


def test_ids_are_the_row_keys_of_their_tables(store: Store) -> None:
    """SQLite keeps no second tree for a key that is an integer: no index was made for it."""
    with reading(store._engine) as connection:
        names = connection.exec_driver_sql(
            "SELECT name FROM sqlite_master WHERE type = 'index' "
            "AND tbl_name IN ('entry', 'change')"
        )
        assert names.scalars().all() == []


def test_opening_again_changes_nothing(open_store: Callable[[], Store], store: Store) -> None:
    """A store of this version is opened as it is."""
    made = store.create_bank("known", Policy())
    assert (1, [made]) == (open_store().revision(), open_store().all_banks())


def test_a_store_of_a_later_version_is_refused(store: Store, url: str) -> None:
    """A format that this version does not know is named, and left alone."""
    store.create_bank("known", Policy())
    with writing(store._engine) as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'v99'")
    later = Store(url)
    with pytest.raises(StoreIncompatible, match="format v99") as refusal:
        later.open()
    later.close()
    assert refusal.value.metadata == {"store_format": "v99"}
    assert store.revision() == 1


def test_an_upgrade_that_fails_leaves_nothing(url: str) -> None:
    """A migration is one transaction: the tables before the one that failed are gone again."""
    engine = open_engine(url)
    with writing(engine) as connection:
        connection.exec_driver_sql("CREATE TABLE request (in_the_way TEXT)")
    store = Store(url)
    with pytest.raises(ImagewardError):
        store.open()
    store.close()
    assert {"request"} == tables(engine)
    engine.dispose()


def test_processes_that_start_together_build_one_store(url: str) -> None:
    """Three processes open a store that does not exist: all succeed, and share it."""
    script = (
        "import sys\n"
        "from imageward_index.policy import Policy\n"
        "from imageward_server.store import Store\n"
        "sys.stdin.readline()\n"
        "store = Store(sys.argv[1])\n"
        "store.open()\n"
        "print(store.create_bank(sys.argv[2], Policy()).bank.name)\n"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, url, name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for name in ("a", "b", "c")
    ]  # fmt: skip
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=60)[0] for process in processes]
    assert answers == ["a\n", "b\n", "c\n"]
    store = Store(url)
    store.open()
    assert (len(store.all_banks()), store.revision()) == (3, 3)
    store.close()


def test_a_store_of_the_first_version_keeps_its_entries(url: str) -> None:
    """Banks and hashes from before there were fingerprints stay, and mean what they meant."""
    engine = open_engine(url)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with writing(engine) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "v1")
        connection.exec_driver_sql(
            "INSERT INTO bank VALUES (1, 'old', 'REVIEW', 20, '[]', 1, 1, 0, 5, 5, 1)"
        )
        connection.exec_driver_sql(
            "INSERT INTO entry VALUES (?, 1, 2, ?, 77, 'r', 5, 5, 2)",
            (make_entry_id(1, 1), b"\xab" * 32),
        )
    engine.dispose()
    store = Store(url)
    store.open()
    (bank,) = store.all_banks()
    record = store.get_entry(make_entry_id(1, 1))
    fingerprint = store.get_fingerprint(record.id)
    store.close()
    assert bank.bank.policy == Policy(Action.REVIEW, 20)
    assert (record.hash, record.code_count) == (PdqHash(b"\xab" * 32, 77), 0)
    assert fingerprint == Fingerprint(record.hash)


def test_what_older_versions_withdrew_can_be_restored_for_a_week(url: str) -> None:
    """Then it is due to be erased; what is active is not."""
    engine = open_engine(url)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with writing(engine) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "v1")
        connection.exec_driver_sql(
            "INSERT INTO bank VALUES (1, 'old', 'REVIEW', 20, '[]', 1, 1, 1, 5, 5, 1)"
        )
        for serial, state in ((1, 1), (2, 2)):
            connection.exec_driver_sql(
                "INSERT INTO entry VALUES (?, ?, 2, ?, 77, 'r', 5, 5, 2)",
                (make_entry_id(1, serial), state, bytes([serial]) * 32),
            )
    engine.dispose()
    withdrawn = make_entry_id(1, 2)
    for days, due in ((6, []), (8, [withdrawn])):
        store = Store(url, lambda days=days: time.time() + days * 24 * 3600)  # type: ignore[misc]
        store.open()
        assert store.due_erasures(10) == due
        store.close()
