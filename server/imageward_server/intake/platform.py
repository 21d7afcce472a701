"""What platforms hand over: pictures already posted, and appeals of those who were stopped."""

from __future__ import annotations

import sqlalchemy as sa

from imageward_server.intake import audit, cases
from imageward_server.intake.intake import Intake
from imageward_server.intake.reception import Arrival
from imageward_server.store import entries
from imageward_server.store.case_tables import CaseOrigin, PictureKind
from imageward_server.store.case_tables import picture as table
from imageward_server.store.head import Head


def report_posted(
    intake: Intake,
    image: bytes,
    *,
    opener: str,
    region: str,
    language: str,
    contact: str,
    upload_id: str,
    surface: str,
) -> str:
    """Open a case of a picture that was posted; return its number.

    A picture that cannot be taken leaves no case.

    Raises:
        InvalidRequest: the region, language or contact is not one.
        InvalidInput: the picture cannot be taken.
    """
    with intake.store.changing() as head:
        number = cases.open_case(
            intake,
            head,
            opener=opener,
            region=region,
            language=language,
            contact=contact,
            origin=CaseOrigin.PLATFORM,
            upload_id=upload_id,
            surface=surface,
        )
    try:
        _take(Arrival(intake, number, PictureKind.REPORT, actor=audit.frontend(opener)), image)
    except BaseException:
        with intake.store.changing() as head:
            cases.forget(head, number)
        raise
    return number


def appeal(intake: Intake, image: bytes, *, opener: str, entry_id: int) -> str:
    """Put an entry before the reviewers again, with the upload that it stopped.

    It goes on blocking until they decide.

    Returns:
        The number of the case that the entry is of; a new one if it has none.

    Raises:
        EntryNotFound: no entry has the id.
        InvalidInput: the picture cannot be taken.
    """
    with intake.store.changing() as head:
        entries.fetch_states(head.connection, [entry_id])
        number = _case_of_entry(head, entry_id) or cases.open_case(
            intake,
            head,
            opener=opener,
            region=intake.settings.regions[0],
            language="en",
            origin=CaseOrigin.PLATFORM,
        )
    actor = audit.frontend(opener)
    arrival = Arrival(intake, number, PictureKind.APPEAL, entry_id=entry_id, actor=actor)
    _take(arrival, image)
    return number


def _take(arrival: Arrival, image: bytes) -> None:
    with arrival:
        arrival.write(image)
        arrival.finish()


def _case_of_entry(head: Head, entry_id: int) -> str | None:
    query = sa.select(table.c.case_number).where(table.c.entry_id == entry_id)
    number: str | None = head.connection.execute(
        query.order_by(table.c.received_us).limit(1)
    ).scalar()
    return number
