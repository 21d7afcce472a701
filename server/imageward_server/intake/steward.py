"""The job that keeps the promises: it looks at every clock, again and again.

Each round: what was decided is deleted, what has waited too long is deleted unreviewed,
what waits near its deadline raises an alarm, what lies in the quarantine without a row is
destroyed, contacts that are not needed are erased, and mail is sent. A round that is cut
off is made whole by the next one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa
import structlog

from imageward_server.intake import audit, cases, disposal, sessions, throttle
from imageward_server.intake.intake import Intake
from imageward_server.intake.limits import (
    ALARM_HOURS,
    ARRIVAL_S_MAX,
    DAY_S,
    HOUR_S,
    KEPT_S_MAX,
    RETENTION_S,
)
from imageward_server.intake.records import PictureRecord, picture_of
from imageward_server.store.case_tables import PictureState, watch
from imageward_server.store.case_tables import case as case_table
from imageward_server.store.case_tables import mail as mail_table
from imageward_server.store.case_tables import picture as table

log = structlog.get_logger(__name__)

_US: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Standing:
    """How the intake stands after a round; what the metrics show.

    Attributes:
        waiting: pictures that wait for a reviewer.
        alarmed: of these, how many passed each of the alarm's hours.
        oldest_wait_s: how long the oldest has waited, in seconds.
        held: pictures that are not deleted.
        overdue: of these, how many are older than seven days; never anything but 0.
        unsent: mails that were tried and failed.
    """

    waiting: int
    alarmed: dict[int, int]
    oldest_wait_s: float
    held: int
    overdue: int
    unsent: int


class Steward:
    """Goes its rounds over one intake.

    Args:
        intake: what it looks after.
        send_mail: sends what is due; returns how much was sent.
    """

    def __init__(self, intake: Intake, send_mail: Callable[[], int]) -> None:
        self._intake = intake
        self._send_mail = send_mail

    def round(self) -> Standing:
        """Do everything that is due now."""
        held = self._held()
        for picture in held:
            self._keep_time(picture)
        self._destroy_strays()
        self._tidy()
        self._send_mail()
        return self._standing()

    def seen_s(self) -> float:
        """Return the last time that a round saw, in seconds since 1970; 0 before the first."""
        with self._intake.store.reading() as connection:
            seen_us = connection.execute(sa.select(watch.c.seen_us)).scalar()
        return (seen_us or 0) / _US

    def _held(self) -> list[PictureRecord]:
        query = sa.select(table).where(table.c.deleted_us.is_(None)).order_by(table.c.received_us)
        with self._intake.store.reading() as connection:
            return [picture_of(row) for row in connection.execute(query)]

    def _keep_time(self, picture: PictureRecord) -> None:
        age_s = (self._intake.now_us() - picture.received_us) / _US
        if picture.decided_us is not None:
            disposal.delete(self._intake, picture)
        elif picture.state is PictureState.ARRIVING:
            if age_s >= ARRIVAL_S_MAX:
                disposal.forget(self._intake, picture)
        elif age_s >= RETENTION_S:
            self._expire(picture)
        else:
            self._alarm(picture, age_s)

    def _expire(self, picture: PictureRecord) -> None:
        with self._intake.store.changing() as head:
            disposal.expire(head, picture)
        disposal.delete(self._intake, picture)
        log.error("picture deleted unreviewed", case=picture.case_number)

    def _alarm(self, picture: PictureRecord, age_s: float) -> None:
        passed_h = max((hours for hours in ALARM_HOURS if age_s >= hours * HOUR_S), default=0)
        if passed_h <= picture.alarm_h:
            return
        with self._intake.store.changing() as head:
            head.connection.execute(
                table.update().where(table.c.id == picture.id).values(alarm_h=passed_h)
            )
            audit.record(
                head,
                audit.SYSTEM,
                f"alarm {passed_h} h",
                case_number=picture.case_number,
                picture_id=picture.id,
            )
        log.error("picture undecided", case=picture.case_number, hours=passed_h)

    def _destroy_strays(self) -> None:
        """Destroy what no row knows, as after the store was restored from a backup."""
        held = self._intake.quarantine.held()
        with self._intake.store.reading() as connection:
            known = set(
                connection.execute(
                    sa.select(table.c.id).where(table.c.deleted_us.is_(None))
                ).scalars()
            )
        for case_number, picture_ids in held.items():
            for picture_id in picture_ids - known:
                self._intake.quarantine.destroy(case_number, picture_id)
                log.error("stray picture destroyed", case=case_number)

    def _tidy(self) -> None:
        with self._intake.store.changing() as head:
            sessions.purge(head)
            throttle.purge(head)
            for number in head.connection.execute(self._forgettable(head.now_us)).scalars().all():
                cases.erase_contact(head, number)
            seen = head.connection.execute(watch.update().values(seen_us=head.now_us))
            if not seen.rowcount:
                head.connection.execute(watch.insert().values(id=1, seen_us=head.now_us))

    def _forgettable(self, now_us: int) -> sa.Select[str]:
        """Select the cases whose contact nobody needs any more."""
        before_us = now_us - self._intake.settings.contact_days * DAY_S * _US
        recent = sa.select(table.c.case_number).where(
            sa.or_(table.c.deleted_us.is_(None), table.c.deleted_us > before_us)
        )
        return sa.select(case_table.c.number).where(
            case_table.c.contact.is_not(None),
            case_table.c.opened_us < before_us,
            case_table.c.number.not_in(recent),
        )

    def _standing(self) -> Standing:
        now_us = self._intake.now_us()
        held = self._held()
        waits_s = [
            (now_us - picture.received_us) / _US
            for picture in held
            if picture.state is PictureState.WAITING
        ]
        unsent = sa.select(sa.func.count()).where(
            mail_table.c.sent_us.is_(None), mail_table.c.attempts > 0
        )
        with self._intake.store.reading() as connection:
            unsent_count: int = connection.execute(unsent).scalar_one()
        return Standing(
            waiting=len(waits_s),
            alarmed={h: sum(wait_s >= h * HOUR_S for wait_s in waits_s) for h in ALARM_HOURS},
            oldest_wait_s=max(waits_s, default=0.0),
            held=len(held),
            overdue=sum(now_us - picture.received_us > KEPT_S_MAX * _US for picture in held),
            unsent=unsent_count,
        )
