"""The PIN of a case: made when the person has finished, shown once, kept as a hash."""

from __future__ import annotations

from imageward_server.errors import CaseNotFound
from imageward_server.intake import audit, cases, throttle
from imageward_server.intake.credentials import hash_pin, new_pin, verify_pin
from imageward_server.intake.intake import Intake
from imageward_server.intake.refusals import PageRefusal
from imageward_server.store.case_tables import case as table


def give(intake: Intake, number: str) -> str:
    """Make a case's PIN; one that was given before is not valid any more."""
    pin = new_pin()
    pin_hash = hash_pin(pin)
    with intake.store.changing() as head:
        head.connection.execute(
            table.update().where(table.c.number == number).values(pin_hash=pin_hash)
        )
        audit.record(head, audit.PERSON, "give PIN", case_number=number)
    return pin


def check(intake: Intake, number: str, pin: str) -> None:
    """Accept a case number and its PIN.

    Raises:
        PageRefusal: one of them is wrong, without saying which, or the case is locked.
    """
    subject = f"case {number}"
    with intake.store.reading() as connection:
        throttle.require_unlocked(connection, subject, intake.now_us())
        try:
            kept = cases.get(connection, number).pin_hash
        except CaseNotFound:
            kept = None
    right = verify_pin(pin, kept)
    with intake.store.changing() as head:
        if right:
            throttle.forgive(head, subject)
        else:
            throttle.note_failure(head, subject)
    if not right:
        raise PageRefusal("pin_wrong", 403)
