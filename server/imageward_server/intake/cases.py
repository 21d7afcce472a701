"""Cases: opened by partners and platforms, found, listed, and their contact kept."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

import sqlalchemy as sa

from imageward_server.errors import CaseNotFound, InvalidRequest, PermissionDenied
from imageward_server.intake import audit, outbox
from imageward_server.intake.credentials import new_case_number
from imageward_server.intake.intake import CONTACT_KEY, Intake
from imageward_server.intake.limits import CONTACT_CHARS_MAX
from imageward_server.intake.records import CaseRecord, PictureRecord, case_of, picture_of
from imageward_server.intake.words import LANGUAGES
from imageward_server.keys.wrapping import opens, unwrap, wrap
from imageward_server.store.case_tables import CaseOrigin
from imageward_server.store.case_tables import case as table
from imageward_server.store.case_tables import picture as picture_table
from imageward_server.store.head import Head

_CONTACT: Final = re.compile(r"[^@\s,;<>\"]+@[^@\s,;<>\"]+\.[^@\s,;<>\"]+")


def open_case(
    intake: Intake,
    head: Head,
    *,
    opener: str,
    region: str,
    language: str,
    contact: str = "",
    origin: CaseOrigin = CaseOrigin.PARTNER,
    upload_id: str = "",
    surface: str = "",
) -> str:
    """Open a case; return its number.

    Raises:
        InvalidRequest: the region, language or contact is not one.
    """
    _require_one_of("region", region, intake.settings.regions)
    _require_one_of("language", language, LANGUAGES)
    number = new_case_number()
    head.connection.execute(
        table.insert().values(
            number=number,
            origin=origin,
            opener=opener,
            region=region,
            language=language,
            contact=_seal_contact(intake, number, contact),
            upload_id=upload_id,
            surface=surface,
            opened_us=head.now_us,
        )
    )
    actor = audit.partner(opener) if origin is CaseOrigin.PARTNER else audit.frontend(opener)
    audit.record(head, actor, "open", case_number=number)
    return number


def forget(head: Head, number: str) -> None:
    """Remove a case that nothing was ever received for."""
    head.connection.execute(table.delete().where(table.c.number == number))
    audit.record(head, audit.SYSTEM, "forget", case_number=number)


def erase_contact(head: Head, number: str) -> None:
    """Remove the address of a case, and the mail that could not be sent to it."""
    outbox.drop(head, number)
    head.connection.execute(table.update().where(table.c.number == number).values(contact=None))
    audit.record(head, audit.SYSTEM, "erase contact", case_number=number)


def get(connection: sa.Connection, number: str) -> CaseRecord:
    """Return a case.

    Raises:
        CaseNotFound: there is none of this number.
    """
    row = connection.execute(sa.select(table).where(table.c.number == number)).first()
    if row is None:
        raise CaseNotFound("no case has this number; compare it with the one you were given")
    return case_of(row)


def get_own(connection: sa.Connection, number: str, opener: str) -> CaseRecord:
    """Return a case to the partner or platform that opened it.

    Raises:
        CaseNotFound: there is none of this number.
        PermissionDenied: another opened it.
    """
    found = get(connection, number)
    if found.opener != opener:
        raise PermissionDenied("another credential opened this case; ask whoever has it")
    return found


def page(connection: sa.Connection, opener: str, after: str, limit: int) -> list[CaseRecord]:
    """Return up to `limit` cases of an opener with numbers above `after`, by number."""
    query = sa.select(table).where(table.c.opener == opener, table.c.number > after)
    return [case_of(row) for row in connection.execute(query.order_by(table.c.number).limit(limit))]


def pictures_of(connection: sa.Connection, number: str) -> list[PictureRecord]:
    """Return a case's pictures, oldest first."""
    query = sa.select(picture_table).where(picture_table.c.case_number == number)
    rows = connection.execute(query.order_by(picture_table.c.received_us, picture_table.c.id))
    return [picture_of(row) for row in rows]


def contact_of(intake: Intake, found: CaseRecord) -> str | None:
    """Decrypt the address of a case; None if there is none, or none any more."""
    if found.contact is None:
        return None
    return unwrap(intake.key_for(CONTACT_KEY), found.contact, found.number).decode()


def rewrap_contacts(head: Head, key: bytes, new_key: bytes) -> int:
    """Encrypt the addresses of all cases with another key; return how many were not yet.

    Raises:
        DataCorrupt: one opens with neither.
    """
    rows = head.connection.execute(
        sa.select(table.c.number, table.c.contact).where(table.c.contact.is_not(None))
    ).all()
    changed = [row for row in rows if not opens(new_key, row.contact, row.number)]
    for row in changed:
        contact = wrap(new_key, unwrap(key, row.contact, row.number), row.number)
        head.connection.execute(
            table.update().where(table.c.number == row.number).values(contact=contact)
        )
    return len(changed)


def _seal_contact(intake: Intake, number: str, contact: str) -> bytes | None:
    if not contact:
        return None
    if len(contact) > CONTACT_CHARS_MAX or not _CONTACT.fullmatch(contact):
        raise InvalidRequest(
            f"a contact of {len(contact)} characters is no e-mail address; "
            f"send one of at most {CONTACT_CHARS_MAX}",
            chars_max=CONTACT_CHARS_MAX,
        )
    return wrap(intake.key_for(CONTACT_KEY), contact.encode(), number)


def _require_one_of(field: str, value: str, known: Collection[str]) -> None:
    if value not in known:
        raise InvalidRequest(
            f"{field} {value[:16]!r} is not known here; use one of {', '.join(known)}", field=field
        )
