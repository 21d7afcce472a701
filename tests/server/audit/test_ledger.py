"""The writing end: one row a change, in its transaction, in one order for all processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from imageward_index.policy import Policy
from imageward_server.audit.keys import AuditKeys
from imageward_server.audit.row import Actor, Checkpoint, Row
from imageward_server.errors import BankExists, DataCorrupt
from imageward_server.store import EntryState, Store, audit_tables, migrate
from imageward_server.store.engine import open_engine, writing
from imageward_server.store.ledger import CHECKPOINT_ROWS, CHECKPOINT_S, read_head, read_rows

if TYPE_CHECKING:
    from conftest import Clock, MakeEntries

ANA = Actor("ana", "reviewer", "ticket 7")
SECRET = bytes(range(32))
FaultOf = Callable[..., object]


def rows_of(store: Store) -> list[Row]:
    """Read the audit."""
    with store.reading() as connection:
        return [sealed.row for sealed in read_rows(connection)]


def change_directly(store: Store, statement: sa.UpdateBase) -> None:
    """Change the store as somebody does who can write the database."""
    with writing(store._engine) as connection:
        connection.execute(statement)


def test_each_change_is_one_row_with_who_what_which_when_why(
    keyed: Store, clock: Clock, make_entries: MakeEntries
) -> None:
    """Banks by name, entries as runs of ids, the time, the actor's words, the revision."""
    keyed.create_bank("known", Policy(), ANA)
    clock.now_s += 5
    ids = keyed.add_entries("known", "r", make_entries(5), ANA).entry_ids
    keyed.set_state([ids[0], ids[1], ids[3]], EntryState.WITHDRAWN, ANA)
    _, made, added, withdrawn = rows_of(keyed)
    assert (made.actor, made.role, made.action, made.bank) == ("ana", "reviewer", "create bank", "known")  # fmt: skip # noqa: E501
    assert (added.action, added.entry_count) == ("add entries", 5)
    assert added.entries == f"{ids[0]:016x}-{ids[4]:016x}"
    assert withdrawn.entries == f"{ids[0]:016x}-{ids[1]:016x},{ids[3]:016x}"
    assert (withdrawn.reason, withdrawn.revision) == ("ticket 7", keyed.revision())
    assert added.at_us - made.at_us == 5_000_000


def test_a_change_that_fails_leaves_no_row(keyed: Store) -> None:
    """The row is in the change's transaction."""
    keyed.create_bank("known", Policy(), ANA)
    before = rows_of(keyed)
    with pytest.raises(BankExists):
        keyed.create_bank("known", Policy(), ANA)
    assert rows_of(keyed) == before


def test_a_repeated_request_is_no_second_row(keyed: Store, make_entries: MakeEntries) -> None:
    """Nothing was done again."""
    keyed.create_bank("known", Policy(), ANA)
    for _ in range(2):
        keyed.add_entries("known", "r", make_entries(1), ANA)
    assert [row.action for row in rows_of(keyed)] == ["begin", "create bank", "add entries"]


def test_a_change_that_nobody_audits_is_our_mistake(
    keyed: Store, make_entries: MakeEntries
) -> None:
    """Whoever writes to the feed and not to the audit fails at once, and changes nothing."""
    from imageward_server.store import banks

    del make_entries
    with pytest.raises(AssertionError, match="audit misses"), keyed.changing() as head:
        banks.create(head, "unseen", Policy())
    assert keyed.all_banks() == []


def test_processes_write_one_chain(keyed: Store, url: str, fault_of: FaultOf) -> None:
    """Three processes append at once: numbers without a gap, and a whole chain."""
    script = (
        "import sys\n"
        "from imageward_server.audit.keys import AuditKeys\n"
        "from imageward_server.audit.row import Actor\n"
        "from imageward_server.store import Store\n"
        "store = Store(sys.argv[1], keys=AuditKeys(bytes(range(32))))\n"
        "for _ in range(40):\n"
        "    store.audit(Actor(sys.argv[2], 'reviewer'), 'find matches')\n"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", script, url, name]) for name in ("a", "b", "c")
    ]
    assert [process.wait(timeout=100) for process in started] == [0, 0, 0]
    assert [row.number for row in rows_of(keyed)] == list(range(1, 122))
    assert fault_of(keyed) is None


def test_checkpoints_come_by_rows_and_by_time(
    keyed: Store, clock: Clock, told: list[Checkpoint], fault_of: FaultOf
) -> None:
    """With the first row, with every thousandth after, and when ten minutes have passed."""
    for _ in range(CHECKPOINT_ROWS + 1):
        keyed.audit(ANA, "find matches")
    keyed.check_point()
    assert [made.number for made in told] == [1, CHECKPOINT_ROWS + 1]
    clock.now_s += CHECKPOINT_S
    keyed.check_point()
    keyed.check_point()
    assert [made.number for made in told] == [1, CHECKPOINT_ROWS + 1, CHECKPOINT_ROWS + 2]
    assert fault_of(keyed, told) is None


def test_nothing_is_appended_to_an_end_that_was_changed(keyed: Store, fault_of: FaultOf) -> None:
    """Else the next row would seal what somebody made of the audit; reads go on."""
    for _ in range(3):
        keyed.audit(ANA, "find matches")
    rows = audit_tables.row
    with keyed.reading() as connection:
        third = connection.execute(sa.select(rows).where(rows.c.number == 3)).one()
    change_directly(keyed, rows.delete().where(rows.c.number > 3))
    change_directly(keyed, audit_tables.head.update().values(number=3, digest=third.digest))
    with pytest.raises(DataCorrupt, match="does not fit its key"):
        keyed.create_bank("known", Policy(), ANA)
    assert keyed.all_banks() == []
    assert "end was changed" in str(fault_of(keyed))


def test_a_change_past_the_audit_is_seen(keyed: Store, fault_of: FaultOf) -> None:
    """The store is at a revision that no row tells of."""
    keyed.create_bank("known", Policy(), ANA)
    change_directly(keyed, sa.text("UPDATE head SET revision = revision + 1"))
    assert "the store is at revision 2" in str(fault_of(keyed))


def test_another_key_is_refused_and_may_be_taken_on(
    keyed: Store, open_keyed: Callable[..., Store], fault_of: FaultOf
) -> None:
    """A key that is lost is replaced by a word of the operator, and covers what was before."""
    keyed.create_bank("known", Policy(), ANA)
    other = AuditKeys(bytes(32 * [7]))
    with pytest.raises(DataCorrupt, match="does not fit its key"):
        open_keyed(other)
    late = open_keyed_anyway(keyed, other)
    late.renew_audit(Actor("sam", "operator", "the key was lost"))
    open_keyed(other).update_bank("known", lambda policy: policy, ANA)
    assert fault_of(late, by=other) is None
    rows = audit_tables.row
    change_directly(late, rows.update().where(rows.c.number == 2).values(actor="mallory"))
    assert "2" in str(fault_of(late, by=other))
    late.close()


def open_keyed_anyway(store: Store, keys: AuditKeys) -> Store:
    """Open a store's file with keys that it was not written with, as the command does."""
    return Store(str(store._engine.url), keys=keys)


def test_an_audit_without_a_key_is_gone_on_with_under_one(
    store: Store, open_keyed: Callable[..., Store], fault_of: FaultOf
) -> None:
    """The first start with a key covers what was written before there was one."""
    store.create_bank("known", Policy(), ANA)
    now = open_keyed()
    with now.reading() as connection:
        assert read_head(connection).first == 3
    assert [row.action for row in rows_of(now)] == ["begin", "create bank", "begin"]
    assert fault_of(now) is None


def test_the_intake_s_own_rows_are_taken_over(
    url: str, open_keyed: Callable[..., Store], fault_of: FaultOf
) -> None:
    """Rows of the third format keep their order and are chained at the first start."""
    engine = open_engine(url)
    config = Config()
    config.set_main_option("script_location", str(migrate._MIGRATIONS))
    with writing(engine) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "v3")
        for at_us, name in ((9, "c"), (4, "a"), (7, "b")):
            connection.exec_driver_sql(
                "INSERT INTO intake_audit VALUES (?, ?, ?, 'view', 'N', 'P')",
                (f"id {name}", at_us, name),
            )
    engine.dispose()
    store = open_keyed()
    rows = rows_of(store)
    assert [(row.number, row.actor) for row in rows[:3]] == [(1, "a"), (2, "b"), (3, "c")]
    assert (rows[3].action, rows[0].case_number, rows[0].picture_id) == ("begin", "N", "P")
    assert fault_of(store) is None
    table = audit_tables.row
    change_directly(store, table.delete().where(table.c.number == 2))
    assert "2" in str(fault_of(store))
