"""Review: what waits, what a reviewer sees, and what becomes of it.

A picture is decided when as many reviewers agree as are required. An approved picture is
banked in the transaction that decides it, so there is no approval without an entry and no
entry without an approval. An appeal is decided the same way: approving it keeps the entry,
rejecting it withdraws the entry.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from imageward_server.errors import CaseNotFound
from imageward_server.intake import audit, disposal, outbox
from imageward_server.intake.intake import Intake
from imageward_server.intake.outbox import MailKind
from imageward_server.intake.records import PictureRecord, picture_of
from imageward_server.intake.refusals import PageRefusal
from imageward_server.store import EntrySource, EntryState, NewEntry, entries
from imageward_server.store.case_tables import PictureKind, PictureState
from imageward_server.store.case_tables import picture as table
from imageward_server.store.case_tables import review as review_table
from imageward_server.store.head import Head

QUEUE_MAX: Final = 200


class RejectReason(enum.Enum):
    """Why a picture is not banked; each has words for the person."""

    NOT_INTIMATE = "not_intimate"
    UNCLEAR = "unclear"
    UNREADABLE = "unreadable"
    OTHER_PERSON = "other_person"
    MINOR = "minor"


@dataclass(frozen=True, slots=True)
class Decision:
    """What one reviewer says of one picture.

    Attributes:
        reviewer: a credential's name.
        reason: why it is rejected; None approves.
    """

    reviewer: str
    reason: RejectReason | None = None

    @property
    def approved(self) -> bool:
        """Whether the reviewer says that it is to be banked."""
        return self.reason is None


def queue(connection: sa.Connection) -> list[PictureRecord]:
    """Return up to 200 pictures that wait, the oldest deadline first."""
    query = (
        sa.select(table)
        .where(table.c.state == PictureState.WAITING)
        .order_by(table.c.received_us, table.c.id)
        .limit(QUEUE_MAX)
    )
    return [picture_of(row) for row in connection.execute(query)]


def get(connection: sa.Connection, picture_id: str) -> PictureRecord:
    """Return what is known of a picture.

    Raises:
        CaseNotFound: there is none of this id.
    """
    row = connection.execute(sa.select(table).where(table.c.id == picture_id)).first()
    if row is None:
        raise CaseNotFound("no picture has this id; look at the queue")
    return picture_of(row)


def reviewers_of(connection: sa.Connection, picture_id: str) -> list[str]:
    """Name who has given an opinion on a picture."""
    query = sa.select(review_table.c.reviewer).where(review_table.c.picture_id == picture_id)
    return list(connection.execute(query).scalars())


def show(intake: Intake, picture_id: str, reviewer: str) -> bytes:
    """Decrypt a waiting picture for a reviewer; the view is in the audit before it is seen.

    Raises:
        PageRefusal: it is decided, so it is gone.
    """
    with intake.store.changing() as head:
        picture = _require_waiting(head.connection, picture_id)
        audit.record(
            head,
            audit.reviewer(reviewer),
            "view",
            case_number=picture.case_number,
            picture_id=picture_id,
        )
    return intake.quarantine.read(picture.case_number, picture_id)


def decide(intake: Intake, picture_id: str, decision: Decision) -> PictureRecord:
    """Take a reviewer's opinion; bank and delete the picture if it settles the matter.

    Raises:
        PageRefusal: it is decided already, or this reviewer has spoken.
    """
    with intake.store.reading() as connection:
        picture = _require_waiting(connection, picture_id)
    entry = _new_entry(intake, picture) if _is_banked(picture, decision) else None
    with intake.store.changing() as head:
        _require_waiting(head.connection, picture_id)
        _note(head, picture, decision)
        if _is_settled(intake, head, picture_id, decision):
            _settle(intake, head, picture, decision, entry)
        picture = get(head.connection, picture_id)
    if picture.decided_us is not None:
        disposal.delete(intake, picture)
    return picture


def _is_banked(picture: PictureRecord, decision: Decision) -> bool:
    return decision.approved and picture.kind is not PictureKind.APPEAL


def _new_entry(intake: Intake, picture: PictureRecord) -> NewEntry:
    image = intake.quarantine.read(picture.case_number, picture.id)
    fingerprint = intake.hasher.fingerprint(image)
    return NewEntry(fingerprint, EntrySource.IMAGE, f"case {picture.case_number}")


def _require_waiting(connection: sa.Connection, picture_id: str) -> PictureRecord:
    picture = get(connection, picture_id)
    if picture.state is not PictureState.WAITING:
        raise PageRefusal("picture_decided", 410)
    return picture


def _note(head: Head, picture: PictureRecord, decision: Decision) -> None:
    if decision.reviewer in reviewers_of(head.connection, picture.id):
        raise PageRefusal("reviewer_spoke", 409)
    head.connection.execute(
        review_table.insert().values(
            picture_id=picture.id,
            reviewer=decision.reviewer,
            approved=decision.approved,
            reason=decision.reason.value if decision.reason else "",
            reviewed_us=head.now_us,
        )
    )
    audit.record(
        head,
        audit.reviewer(decision.reviewer),
        "approve" if decision.approved else f"reject {decision.reason.value}",  # type: ignore[union-attr] # it is set where it is not approved
        case_number=picture.case_number,
        picture_id=picture.id,
    )


def _is_settled(intake: Intake, head: Head, picture_id: str, decision: Decision) -> bool:
    agreeing = sa.select(sa.func.count()).where(
        review_table.c.picture_id == picture_id, review_table.c.approved == decision.approved
    )
    count: int = head.connection.execute(agreeing).scalar_one()
    return count >= intake.settings.reviewers_required


def _settle(
    intake: Intake,
    head: Head,
    picture: PictureRecord,
    decision: Decision,
    entry: NewEntry | None,
) -> None:
    """Bank, keep or withdraw the entry, write the decision down, and owe the mail."""
    entry_id = picture.entry_id
    if entry is not None:
        request_id = f"intake-{picture.id}"
        addition = entries.add(head, intake.settings.bank, request_id, [entry])
        (entry_id,) = addition.entry_ids
        _audit_entry(head, picture, decision, "bank", entry_id)
    elif picture.kind is PictureKind.APPEAL and not decision.approved:
        assert entry_id is not None
        entries.set_state(head, [entry_id], EntryState.WITHDRAWN)
        _audit_entry(head, picture, decision, "unbank", entry_id)
    head.connection.execute(
        table.update()
        .where(table.c.id == picture.id)
        .values(
            state=PictureState.APPROVED if decision.approved else PictureState.REJECTED,
            reason=decision.reason.value if decision.reason else "",
            entry_id=entry_id,
            decided_us=head.now_us,
        )
    )
    if picture.kind is not PictureKind.APPEAL:
        kind = MailKind.BANKED if decision.approved else MailKind.REJECTED
        outbox.queue(
            head, picture.case_number, kind, decision.reason.value if decision.reason else ""
        )


def _audit_entry(
    head: Head, picture: PictureRecord, decision: Decision, action: str, entry_id: int
) -> None:
    """Write down what the last opinion that was needed did to the banks."""
    audit.record(
        head,
        audit.reviewer(decision.reviewer),
        action,
        case_number=picture.case_number,
        picture_id=picture.id,
        entry_ids=[entry_id],
    )
