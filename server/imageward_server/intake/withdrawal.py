"""Withdrawal: a person takes a case back, and every entry of it out of every answer."""

from __future__ import annotations

import sqlalchemy as sa

from imageward_server.intake import audit, cases, disposal, links
from imageward_server.intake.intake import Intake
from imageward_server.store import EntryState, entries
from imageward_server.store.case_tables import PictureKind, PictureState
from imageward_server.store.case_tables import case as case_table
from imageward_server.store.case_tables import picture as table
from imageward_server.store.head import Head


def withdraw(intake: Intake, number: str) -> None:
    """Withdraw a case's entries and destroy what is still in the quarantine.

    Withdrawing again changes nothing.

    Raises:
        CaseNotFound: there is none of this number.
    """
    with intake.store.changing() as head:
        if cases.get(head.connection, number).withdrawn_us is None:
            withdrawn = _withdraw_entries(head, number)
            _end(head, number)
            links.revoke(head, number, audit.PERSON)
            audit.record(head, audit.PERSON, "withdraw", case_number=number, entry_ids=withdrawn)
        pictures = cases.pictures_of(head.connection, number)
    for picture in pictures:
        if picture.deleted_us is None:
            disposal.delete(intake, picture, audit.PERSON)


def _withdraw_entries(head: Head, number: str) -> list[int]:
    """Withdraw the entries of a case; return their ids."""
    own = sa.select(table.c.entry_id).where(
        table.c.case_number == number,
        table.c.entry_id.is_not(None),
        table.c.kind != PictureKind.APPEAL,
    )
    entry_ids = list(head.connection.execute(own).scalars())
    if entry_ids:
        entries.set_state(head, entry_ids, EntryState.WITHDRAWN, for_good=True)
    return entry_ids


def _end(head: Head, number: str) -> None:
    open_states = (PictureState.ARRIVING, PictureState.WAITING)
    head.connection.execute(
        table.update()
        .where(table.c.case_number == number, table.c.state.in_(open_states))
        .values(state=PictureState.WITHDRAWN, decided_us=head.now_us)
    )
    head.connection.execute(
        case_table.update().where(case_table.c.number == number).values(withdrawn_us=head.now_us)
    )
