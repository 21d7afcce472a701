"""Deletion: a picture's key and file destroyed, and the store told.

The file goes first. If the process ends between the two, the job finds a picture that is
decided and not deleted, and does both again.
"""

from __future__ import annotations

import sqlalchemy as sa

from imageward_server.audit.row import Actor
from imageward_server.intake import audit, outbox
from imageward_server.intake.intake import Intake
from imageward_server.intake.outbox import MailKind
from imageward_server.intake.records import PictureRecord
from imageward_server.store.case_tables import PictureState
from imageward_server.store.case_tables import picture as table
from imageward_server.store.head import Head


def delete(intake: Intake, picture: PictureRecord, actor: Actor = audit.SYSTEM) -> None:
    """Destroy a picture and write down that it is gone; mail when it was the case's last."""
    intake.quarantine.destroy(picture.case_number, picture.id)
    with intake.store.changing() as head:
        _note_deleted(head, picture, actor)


def expire(head: Head, picture: PictureRecord) -> None:
    """Write down that a picture's time ended before it was reviewed."""
    head.connection.execute(
        table.update()
        .where(table.c.id == picture.id, table.c.state == PictureState.WAITING)
        .values(state=PictureState.EXPIRED, decided_us=head.now_us)
    )
    outbox.queue(head, picture.case_number, MailKind.EXPIRED)
    audit.record(
        head, audit.SYSTEM, "expire", case_number=picture.case_number, picture_id=picture.id
    )


def give_up(head: Head, picture: PictureRecord) -> None:
    """Write down that a picture is gone, as after a restore: no backup holds one."""
    if picture.state is PictureState.ARRIVING:  # nobody was told of it
        head.connection.execute(table.delete().where(table.c.id == picture.id))
        return
    if picture.state is PictureState.WAITING:
        expire(head, picture)
    _note_deleted(head, picture, audit.SYSTEM)


def forget(intake: Intake, picture: PictureRecord) -> None:
    """Destroy a picture that never arrived whole; nobody was told of it."""
    intake.quarantine.destroy(picture.case_number, picture.id)
    with intake.store.changing() as head:
        head.connection.execute(table.delete().where(table.c.id == picture.id))


def _note_deleted(head: Head, picture: PictureRecord, actor: Actor) -> None:
    """Write down that a picture is gone, unless that stands there already."""
    changed = head.connection.execute(
        table.update()
        .where(table.c.id == picture.id, table.c.deleted_us.is_(None))
        .values(deleted_us=head.now_us, tag=None)
    ).rowcount
    if changed:
        audit.record(head, actor, "delete", case_number=picture.case_number, picture_id=picture.id)
        _tell_when_last(head, picture)


def _tell_when_last(head: Head, picture: PictureRecord) -> None:
    left = sa.select(table.c.id).where(
        table.c.case_number == picture.case_number, table.c.deleted_us.is_(None)
    )
    if not head.connection.execute(left).first():
        outbox.queue(head, picture.case_number, MailKind.DELETED)
