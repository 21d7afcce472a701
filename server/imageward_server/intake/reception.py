"""Pictures coming in: streamed into the quarantine, examined, and put before reviewers.

1. A row says that a picture is arriving; so even one that never ends is deleted in time.
2. Its bytes are encrypted as they come.
3. It is decrypted in memory and examined.
4. The row says WAITING: from here on reviewers see it and its clock counts.
Whatever fails leaves neither row nor file.
"""

from __future__ import annotations

import hashlib
import hmac
import uuid
from types import TracebackType
from typing import Self

import sqlalchemy as sa

from imageward_index.decode import IMAGE_BYTES_MAX
from imageward_index.errors import ImageTooLarge
from imageward_server.audit.row import Actor
from imageward_server.errors import CaseWithdrawn, DuplicatePicture, TooManyPictures
from imageward_server.intake import audit, cases
from imageward_server.intake.examine import examine
from imageward_server.intake.intake import Intake
from imageward_server.intake.limits import CASE_PICTURES_MAX
from imageward_server.store.case_tables import PictureKind, PictureState
from imageward_server.store.case_tables import picture as table
from imageward_server.store.head import Head


class Arrival:
    """A picture that is arriving. Leaving the context before `finish` forgets it.

    Args:
        intake: where it arrives.
        number: of its case.
        kind: why it is to be reviewed.
        entry_id: what an appeal is about.
        actor: who hands it over, for the audit.

    Raises:
        CaseNotFound: there is no such case.
        CaseWithdrawn: the person took it back.
        TooManyPictures: the case has 20.
    """

    def __init__(
        self,
        intake: Intake,
        number: str,
        kind: PictureKind = PictureKind.UPLOAD,
        *,
        entry_id: int | None = None,
        actor: Actor = audit.PERSON,
    ) -> None:
        self.id = uuid.uuid4().hex
        self._intake = intake
        self._number = number
        self._actor = actor
        self._bytes = 0
        self._finished = False
        with intake.store.changing() as head:
            _refuse_full(head, number)
            head.connection.execute(
                table.insert().values(
                    id=self.id,
                    case_number=number,
                    kind=kind,
                    state=PictureState.ARRIVING,
                    entry_id=entry_id,
                    reason="",
                    alarm_h=0,
                    received_us=head.now_us,
                )
            )
        self._file = intake.quarantine.begin(number, self.id)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        if not self._finished:
            self._forget()

    def write(self, data: bytes) -> None:
        """Take the next bytes.

        Raises:
            ImageTooLarge: there are more than 20,000,000.
        """
        self._bytes += len(data)
        if self._bytes > IMAGE_BYTES_MAX:
            raise ImageTooLarge(
                f"the image has more than {IMAGE_BYTES_MAX} bytes; send a smaller copy",
                bytes_max=IMAGE_BYTES_MAX,
            )
        self._file.write(data)

    def finish(self) -> None:
        """Examine the picture and put it before the reviewers.

        Raises:
            InvalidImage: it cannot be decoded within the bounds.
            LowQuality: it has too little detail.
            PolyglotPicture: it is another kind of file as well.
            DuplicatePicture: the case has these very bytes.
        """
        self._file.finish()
        image = self._intake.quarantine.read(self._number, self.id)
        examine(self._intake.hasher, image)
        tag_key = self._intake.quarantine.tag_key(self._number)
        tag = hmac.digest(tag_key, image, hashlib.sha256)
        with self._intake.store.changing() as head:
            _refuse_withdrawn(head, self._number)
            _refuse_duplicate(head, self._number, tag)
            head.connection.execute(
                table.update()
                .where(table.c.id == self.id)
                .values(state=PictureState.WAITING, tag=tag)
            )
            audit.record(head, self._actor, "upload", case_number=self._number, picture_id=self.id)
        self._finished = True

    def _forget(self) -> None:
        self._intake.quarantine.destroy(self._number, self.id)
        with self._intake.store.changing() as head:
            head.connection.execute(table.delete().where(table.c.id == self.id))


def _refuse_full(head: Head, number: str) -> None:
    _refuse_withdrawn(head, number)
    held = sa.select(sa.func.count()).where(
        table.c.case_number == number, table.c.state != PictureState.REJECTED
    )
    count = head.connection.execute(held).scalar_one()
    if count >= CASE_PICTURES_MAX:
        raise TooManyPictures(
            f"the case has {count} pictures, the most there can be; open another case",
            pictures_max=CASE_PICTURES_MAX,
        )


def _refuse_withdrawn(head: Head, number: str) -> None:
    if cases.get(head.connection, number).withdrawn_us is not None:
        raise CaseWithdrawn("the case was taken back; open another one")


def _refuse_duplicate(head: Head, number: str, tag: bytes) -> None:
    same = sa.select(table.c.id).where(table.c.case_number == number, table.c.tag == tag)
    if head.connection.execute(same).first():
        raise DuplicatePicture("the case has this very picture already; it needs to be sent once")
