"""What the intake's tests share: an intake on a real store, a clock that moves, people."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Final

import pytest

from imageward_server.access import Access, Credential, Role, Rules, hash_secret
from imageward_server.hasher import InProcessHasher
from imageward_server.intake import audit, cases, links, review
from imageward_server.intake.intake import Intake
from imageward_server.intake.mail import send_due
from imageward_server.intake.quarantine import FOLDER, Quarantine
from imageward_server.intake.reception import Arrival
from imageward_server.intake.records import CaseState, PictureRecord, state_of
from imageward_server.intake.review import Decision, RejectReason
from imageward_server.intake.settings import IntakeSettings
from imageward_server.intake.steward import Steward
from imageward_server.key_file import new_key
from imageward_server.store import Store
from imageward_server.store.engine import sqlite_url

SECRET: Final = "correct horse battery staple"  # noqa: S105 - of the tests alone
START_S: Final = 1_800_000_000.0


@dataclass
class Clock:
    """Tells the time it was set to, in seconds since 1970 UTC."""

    now_s: float = START_S

    def __call__(self) -> float:
        """Tell the time."""
        return self.now_s


@dataclass
class Postman:
    """Takes mail while he works."""

    works: bool = True
    taken: list[EmailMessage] = field(default_factory=list)

    def __call__(self, message: EmailMessage) -> None:
        """Take one mail, or be away."""
        if not self.works:
            raise ConnectionRefusedError
        self.taken.append(message)

    @property
    def texts(self) -> list[str]:
        """The plain text of all mail."""
        bodies = [message.get_body(("plain",)) for message in self.taken]
        return [body.get_content() for body in bodies if body is not None]


@dataclass
class People:
    """Those who use an intake: a partner, a person, reviewers."""

    intake: Intake
    contact: str = "sam@example.org"

    def open_case(self, language: str = "en") -> tuple[str, str]:
        """Open a case as the partner; return its number and the token of its link."""
        with self.intake.store.changing() as head:
            number = cases.open_case(
                self.intake,
                head,
                opener="helpline",
                region="UK",
                language=language,
                contact=self.contact,
            )
            url, _ = links.issue(self.intake, head, number, audit.partner("helpline"))
        return number, url.rpartition("/")[2]

    def hand_over(self, number: str, image: bytes) -> str:
        """Hand over a picture; return its id."""
        with Arrival(self.intake, number) as arrival:
            arrival.write(image)
            arrival.finish()
        return arrival.id

    def decide(
        self, picture_id: str, reason: RejectReason | None = None, reviewer: str = "ana"
    ) -> PictureRecord:
        """Decide as a reviewer."""
        return review.decide(self.intake, picture_id, Decision(reviewer, reason))

    def pictures(self, number: str) -> list[PictureRecord]:
        """Read a case's pictures."""
        with self.intake.store.reading() as connection:
            return cases.pictures_of(connection, number)

    def state(self, number: str) -> CaseState:
        """Read a case's state."""
        with self.intake.store.reading() as connection:
            case = cases.get(connection, number)
            return state_of(case, cases.pictures_of(connection, number))

    def need_two_reviewers(self) -> None:
        """Let two reviewers be required from now on."""
        settings = self.intake.settings.model_copy(update={"reviewers_required": 2})
        self.intake = dataclasses.replace(self.intake, settings=settings)


@pytest.fixture
def clock() -> Clock:
    """Return a clock that stands still until it is moved."""
    return Clock()


@pytest.fixture
def access() -> Access:
    """Return who may sign in: a credential of each role, and two reviewers."""
    roles = {"helpline": "partner", "ana": "reviewer", "ben": "reviewer", "feed": "frontend"}
    secret_hash = hash_secret(SECRET)
    return Access(
        Rules({n: Credential(role=Role(r), secret_hash=secret_hash) for n, r in roles.items()})
    )


@pytest.fixture
def settings() -> IntakeSettings:
    """Return settings as they are by default."""
    return IntakeSettings()


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Return the folder of the store and the quarantine."""
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.fixture
def intake(data_dir: Path, clock: Clock, settings: IntakeSettings) -> Iterator[Intake]:
    """Return an intake on an empty store."""
    store = Store(sqlite_url(data_dir), clock)
    store.open()
    master_key = new_key()
    made = Intake(
        store=store,
        hasher=InProcessHasher(),
        quarantine=Quarantine(data_dir / FOLDER, master_key),
        settings=settings,
        surfaces=frozenset({"FACEBOOK", "INSTAGRAM", "MESSENGER"}),
        master_key=master_key,
        clock=clock,
    )
    made.prepare()
    yield made
    store.close()


@pytest.fixture
def postman() -> Postman:
    """Return one who takes mail, unless he is told not to."""
    return Postman()


@pytest.fixture
def steward(intake: Intake, postman: Postman) -> Steward:
    """Return the job over the intake."""
    return Steward(intake, lambda: send_due(intake, postman))


@pytest.fixture(scope="session")
def picture(photograph: Callable[[str], bytes]) -> bytes:
    """Return a photograph."""
    return photograph("coffee.png")


@pytest.fixture
def people(intake: Intake) -> People:
    """Return those who use the intake."""
    return People(intake)
