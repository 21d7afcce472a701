"""A simulated year: cases, restarts, steps of the wall clock, days without mail or reviewers.

IMAGEWARD_YEAR_CASES sets how many cases it has; `make year` runs the 10,000.
"""

from __future__ import annotations

import dataclasses
import os
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
import sqlalchemy as sa

from imageward_server.hasher import InProcessHasher
from imageward_server.intake import outbox, review, withdrawal
from imageward_server.intake.clock import SteadyClock
from imageward_server.intake.intake import Intake
from imageward_server.intake.limits import ALARM_HOURS, KEPT_S_MAX, RETENTION_S
from imageward_server.intake.mail import send_due
from imageward_server.intake.quarantine import FOLDER, Quarantine
from imageward_server.intake.records import PictureRecord, picture_of
from imageward_server.intake.review import RejectReason
from imageward_server.intake.steward import Steward
from imageward_server.store import Store
from imageward_server.store.audit_tables import row as audit_row
from imageward_server.store.case_tables import PictureState
from imageward_server.store.case_tables import mail as mail_table
from imageward_server.store.case_tables import picture as picture_table
from imageward_server.store.engine import sqlite_url

if TYPE_CHECKING:
    from conftest import People, Postman

CASES = int(os.environ.get("IMAGEWARD_YEAR_CASES", "10"))
SEED = 20261122
YEAR_S = 365 * 24 * 3600
ROUND_S = 1800
# Between rounds that have nothing to do, which the job goes all the same.
IDLE_S = 12 * 3600
START_S = 1_800_000_000.0


@dataclass
class World:
    """What is outside the intake: true time, and a wall clock that people set wrongly."""

    true_s: float = START_S
    wrong_s: float = 0.0

    def wall(self) -> float:
        """Tell what the machine's clock shows."""
        return self.true_s + self.wrong_s

    def monotonic(self) -> float:
        """Tell what no one can set."""
        return self.true_s - START_S


@dataclass
class House:
    """The intake as it runs, stops and starts again."""

    folder: Path
    master_key: bytes
    first: Intake
    world: World
    postman: Postman
    intake: Intake = field(init=False)
    steward: Steward = field(init=False)
    drifts: int = 0
    is_busy: bool = True

    def __post_init__(self) -> None:
        self.clock = SteadyClock(self.world.wall, self.world.monotonic)
        self.start()

    def start(self) -> None:
        """Start as the process does: its clock begins anew, and not before what was seen."""
        self.clock = SteadyClock(self.world.wall, self.world.monotonic)
        store = Store(sqlite_url(self.folder), self.clock)
        store.open()
        self.intake = dataclasses.replace(
            self.first,
            store=store,
            hasher=InProcessHasher(),
            quarantine=Quarantine(self.folder / FOLDER, self.master_key),
            clock=self.clock,
        )
        self.steward = Steward(self.intake, lambda: send_due(self.intake, self.postman))
        self.clock.not_before(self.steward.seen_s())

    def stop(self) -> None:
        """Stop."""
        self.intake.store.close()

    def round(self) -> None:
        """Go a round, and note whether the wall clock was seen to be wrong."""
        standing = self.steward.round()
        assert standing.overdue == 0
        self.is_busy = bool(standing.held or standing.unsent)
        self.drifts += abs(self.clock.drift_s()) > 60


@pytest.fixture(scope="session")
def small_pictures() -> list[bytes]:
    """Return pictures that are quick to decode and are told apart."""
    random_pixels = np.random.default_rng(SEED)
    made = []
    for _ in range(16):
        coarse = random_pixels.integers(0, 256, (12, 12), dtype=np.uint8)
        made.append(cv2.imencode(".png", cv2.resize(coarse, (96, 96)))[1].tobytes())
    return made


@pytest.mark.timeout(7200)
def test_a_year_misses_no_deadline_and_deletes_nothing_early(
    data_dir: Path,
    intake: Intake,
    people: People,
    postman: Postman,
    small_pictures: list[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every picture goes when it must and not before, every alarm is raised, every mail comes."""
    # What disks do is not the question here, and 10,000 cases wait for them often.
    monkeypatch.setattr(os, "fsync", lambda _: None)
    chance = random.Random(SEED)
    world = World()
    house = House(data_dir, intake.master_key, intake, world, postman)
    born: dict[str, float] = {}
    fates: dict[str, Callable[[], object]] = {}
    told: Counter[str] = Counter()
    arrivals = sorted(chance.uniform(0, YEAR_S) for _ in range(CASES))
    due: list[tuple[float, str]] = []

    def run_until(when_s: float) -> None:
        while world.true_s < when_s:
            step_s = ROUND_S if house.is_busy else IDLE_S
            world.true_s += min(step_s, when_s - world.true_s)
            if chance.random() < 0.002:
                house.stop()
                world.true_s += chance.uniform(1, 3000)  # under the hour that is kept for it
                house.start()
                told["restart"] += 1
            if chance.random() < 0.002:
                world.wrong_s = chance.choice([-90_000.0, -3600.0, 7200.0, 900_000.0])
                told["step"] += 1
            elif world.wrong_s and chance.random() < 0.1:
                world.wrong_s = 0.0
            if chance.random() < 0.01:
                postman.works = chance.random() < 0.5
            house.round()
            while due and due[0][0] <= world.true_s:
                fates.pop(due.pop(0)[1])()

    for arrives_s in arrivals:
        run_until(START_S + arrives_s)
        people.intake = house.intake
        house.is_busy = True
        number, _ = people.open_case(chance.choice(["en", "fr"]))
        waiting = people.hand_over(number, chance.choice(small_pictures))
        born[waiting] = world.true_s
        fate = chance.choices(["approve", "reject", "withdraw", "forget"], [60, 20, 10, 10])[0]
        told[fate] += 1
        wait_s = chance.uniform(0, 60 * 3600)
        if fate != "forget":
            fates[waiting] = _fate(fate, house, number, waiting)
            due.append((world.true_s + wait_s, waiting))
            due.sort()
    run_until(START_S + YEAR_S)
    world.wrong_s, postman.works = 0.0, True
    run_until(world.true_s + KEPT_S_MAX + 7200)
    _check_all(house, born, postman, told)
    house.stop()


def _fate(fate: str, house: House, number: str, waiting: str) -> Callable[[], object]:
    """Return what will become of a picture."""
    if fate == "withdraw":
        return lambda: withdrawal.withdraw(house.intake, number)
    reason = None if fate == "approve" else RejectReason.UNCLEAR
    return lambda: review.decide(house.intake, waiting, review.Decision("ana", reason))


def _check_all(house: House, born: dict[str, float], postman: Postman, told: Counter[str]) -> None:
    """Hold every promise against what the store says, in true time."""
    with house.intake.store.reading() as connection:
        pictures = [picture_of(row) for row in connection.execute(sa.select(picture_table))]
        mails = connection.execute(sa.select(mail_table)).all()
        alarms = Counter(
            (row.picture_id, row.action)
            for row in connection.execute(sa.select(audit_row))
            if row.action.startswith("alarm")
        )
        assert outbox.unsent(connection) == []
    assert len(pictures) == len(born) == CASES
    assert house.intake.quarantine.held() == {}
    for picture in pictures:
        _check_picture(picture, alarms)
    assert {row.sent_us is not None for row in mails} == {True}
    assert len(postman.taken) == len({message["Message-ID"] for message in postman.taken})
    print(  # noqa: T201 - the figures of the run
        f"seed {SEED}, {CASES} cases: {dict(told)}, {len(mails)} mails, "
        f"{alarms.total()} alarms, clock seen wrong in {house.drifts} rounds"
    )


def _check_picture(picture: PictureRecord, alarms: Counter[tuple[str, str]]) -> None:
    assert picture.decided_us is not None
    assert picture.deleted_us is not None
    lived_s = (picture.deleted_us - picture.received_us) / 1e6
    waited_s = (picture.decided_us - picture.received_us) / 1e6
    assert lived_s <= KEPT_S_MAX
    if picture.state is PictureState.EXPIRED:
        assert lived_s >= RETENTION_S
    for hours in ALARM_HOURS:
        raised = alarms[picture.id, f"alarm {hours} h"]
        if waited_s >= hours * 3600 + ROUND_S + 3000:
            assert raised == 1
        elif waited_s < hours * 3600:
            assert raised == 0
