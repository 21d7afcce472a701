"""Cases after a restore: as they were, but for pictures, which no backup holds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from imageward_server.audit.keys import NO_SECRET
from imageward_server.audit.row import Actor
from imageward_server.backup.make import make_backup
from imageward_server.backup.restore import restore
from imageward_server.intake import audit, cases, outbox, sessions
from imageward_server.intake.intake import Intake
from imageward_server.intake.outbox import MailKind
from imageward_server.intake.reception import Arrival
from imageward_server.intake.records import CaseRecord, PictureRecord
from imageward_server.intake.sessions import REVIEWER, Session
from imageward_server.store import Store
from imageward_server.store.case_tables import PictureState
from imageward_server.store.case_tables import link as link_table
from imageward_server.store.case_tables import session as session_table
from imageward_server.store.engine import sqlite_url

if TYPE_CHECKING:
    from conftest import People

SAM = Actor("sam", "operator", "the disk broke")


@pytest.fixture
def restored(
    people: People, intake: Intake, picture: bytes, tmp_path: Path
) -> Iterator[tuple[Store, dict[str, str]]]:
    """Take four cases through a backup; return the restored store and the cases' numbers."""
    numbers = {name: people.open_case()[0] for name in ("banked", "waiting", "empty", "arriving")}
    people.decide(people.hand_over(numbers["banked"], picture))
    people.hand_over(numbers["waiting"], picture)
    arrival = Arrival(intake, numbers["arriving"])
    arrival.write(picture[:100])
    with intake.store.changing() as head:
        sessions.begin(head, Session(REVIEWER, "ana"), "browser")
    file, fresh = tmp_path / "one.backup", tmp_path / "fresh"
    make_backup(intake.store, file, SAM)
    restore(file, fresh, NO_SECRET, SAM)
    store = Store(sqlite_url(fresh))
    yield store, numbers
    store.close()
    arrival.__exit__(None, None, None)


def read_case(store: Store, number: str) -> tuple[CaseRecord, list[PictureRecord]]:
    """Read a case and its pictures."""
    with store.reading() as connection:
        return cases.get(connection, number), cases.pictures_of(connection, number)


def test_what_was_decided_is_as_it_was(
    restored: tuple[Store, dict[str, str]], intake: Intake
) -> None:
    """Cases, contacts, entries and their trail in the audit."""
    store, numbers = restored
    for name in ("banked", "empty"):
        assert read_case(store, numbers[name]) == read_case(intake.store, numbers[name])
    with store.reading() as here, intake.store.reading() as there:
        number = numbers["banked"]
        before = audit.of_case(there, number)
        assert audit.of_case(here, number)[: len(before)] == before
    assert len(store.list_entries(bank_number=None, state=None, after_id=0, limit=9)) == 1


def test_what_waited_is_given_up_and_its_person_told(
    restored: tuple[Store, dict[str, str]],
) -> None:
    """A picture that nobody can show is not left in the queue until its time ends."""
    store, numbers = restored
    _, (given_up,) = read_case(store, numbers["waiting"])
    assert given_up.state is PictureState.EXPIRED
    assert given_up.deleted_us is not None
    with store.reading() as connection:
        kinds = [mail.kind for mail in outbox.of_case(connection, numbers["waiting"])]
        actions = [row.action for row in audit.of_case(connection, numbers["waiting"])]
    assert kinds == [MailKind.EXPIRED, MailKind.DELETED]
    assert actions[-2:] == ["expire", "delete"]
    assert read_case(store, numbers["arriving"])[1] == []


def test_nobody_is_signed_in(restored: tuple[Store, dict[str, str]]) -> None:
    """A session that ended after the backup would have come back with it."""
    store, _ = restored
    with store.reading() as connection:
        assert connection.execute(sa.select(session_table)).all() == []


def test_no_link_is_good_any_more(
    restored: tuple[Store, dict[str, str]],
) -> None:
    """One that was used after the backup would have been good once more."""
    store, numbers = restored
    with store.reading() as connection:
        revoked = connection.execute(sa.select(link_table.c.revoked_us)).scalars().all()
        actions = [row.action for row in audit.of_case(connection, numbers["empty"])]
    assert len(revoked) == len(numbers)
    assert None not in revoked
    assert actions[-1] == "revoke link"


def test_no_picture_is_in_a_backup(
    people: People, intake: Intake, picture: bytes, tmp_path: Path
) -> None:
    """Neither in clear nor sealed, nor a key of one."""
    number, _ = people.open_case()
    waiting = people.hand_over(number, picture)
    file = tmp_path / "one.backup"
    make_backup(intake.store, file, SAM)
    held = file.read_bytes()
    folder = tmp_path / "data" / "quarantine" / number
    for kept in (f"{waiting}.sealed", f"{waiting}.key", "case.key"):
        assert (folder / kept).read_bytes()[-32:] not in held
    assert picture[1000:1032] not in held
