"""The job and the clocks: seven days, alarms, mail that fails, strays, steps of the clock."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from imageward_server.errors import DataCorrupt
from imageward_server.intake import audit, cases, outbox
from imageward_server.intake.clock import SteadyClock
from imageward_server.intake.intake import Intake
from imageward_server.intake.limits import KEPT_S_MAX, RETENTION_S
from imageward_server.intake.metrics import Metrics
from imageward_server.intake.reception import Arrival
from imageward_server.intake.records import CaseState
from imageward_server.intake.steward import Standing, Steward
from imageward_server.sight.catalogue import INTAKE_ALARMED, INTAKE_OLDEST_WAIT
from imageward_server.sight.ledger import INTAKE_PAGE, read_file

if TYPE_CHECKING:
    from conftest import Clock, People, Postman

HOUR_S = 3600
DAY_S = 24 * HOUR_S


def test_an_unreviewed_picture_is_gone_before_seven_days_and_not_early(
    people: People, intake: Intake, steward: Steward, clock: Clock, picture: bytes, postman: Postman
) -> None:
    """A second before its time it is there, at its time it is not, and the person is told."""
    number, _ = people.open_case()
    waiting = people.hand_over(number, picture)
    clock.now_s += RETENTION_S - 1
    steward.round()
    assert intake.quarantine.read(number, waiting) == picture
    clock.now_s += 1
    steward.round()
    (gone,) = people.pictures(number)
    assert gone.deleted_us is not None
    assert gone.deleted_us - gone.received_us <= KEPT_S_MAX * 1_000_000
    with pytest.raises(DataCorrupt):
        intake.quarantine.read(number, waiting)
    assert people.state(number) is CaseState.EXPIRED
    assert "could not be looked at in time" in "".join(postman.texts)


def test_alarms_are_raised_once_each_and_shown(
    people: People,
    steward: Steward,
    clock: Clock,
    intake: Intake,
    picture: bytes,
    data_dir: Path,
) -> None:
    """At 24, 36 and 44 hours, in the audit and in the metrics; none before."""
    number, _ = people.open_case()
    people.hand_over(number, picture)
    metrics = Metrics(data_dir)
    seen = []
    for hour in range(47):
        standing = steward.round()
        metrics.show(standing, 0.0, clock.now_s)
        seen.append(standing.alarmed)
        clock.now_s += HOUR_S
        assert hour < 24 or standing.alarmed[24] == 1
    with intake.store.reading() as connection:
        actions = [line.action for line in audit.of_case(connection, number)]
    assert [one for one in actions if "alarm" in one] == ["alarm 24 h", "alarm 36 h", "alarm 44 h"]
    assert seen[23] == {24: 0, 36: 0, 44: 0}
    assert seen[44] == {24: 1, 36: 1, 44: 1}
    shown = {(one.family, one.values): one.numbers[0] for one in read_file(data_dir / INTAKE_PAGE)}
    assert shown[INTAKE_ALARMED, ("44",)] == 1
    assert shown[INTAKE_OLDEST_WAIT, ()] == 46 * HOUR_S


def test_a_decided_picture_raises_no_alarm(
    people: People, steward: Steward, clock: Clock, picture: bytes
) -> None:
    """However old its case becomes."""
    number, _ = people.open_case()
    people.decide(people.hand_over(number, picture))
    clock.now_s += 45 * HOUR_S
    assert steward.round() == Standing(
        waiting=0, alarmed={24: 0, 36: 0, 44: 0}, oldest_wait_s=0.0, held=0, overdue=0, unsent=0
    )


def test_mail_that_fails_is_visible_and_sent_later(
    people: People,
    steward: Steward,
    clock: Clock,
    intake: Intake,
    picture: bytes,
    postman: Postman,
) -> None:
    """Each mail comes once, however long the mail server was away."""
    number, _ = people.open_case()
    people.decide(people.hand_over(number, picture))
    postman.works = False
    for _ in range(5):
        assert steward.round().unsent == 2
        clock.now_s += HOUR_S
    with intake.store.reading() as connection:
        assert {mail.error for mail in outbox.unsent(connection)} == {"ConnectionRefusedError"}
    postman.works = True
    assert steward.round().unsent == 0
    steward.round()
    assert sorted(message["Message-ID"] for message in postman.taken) == sorted(
        {message["Message-ID"] for message in postman.taken}
    )
    assert len(postman.taken) == 2


def test_mail_says_nothing_of_the_content(
    people: People, steward: Steward, picture: bytes, postman: Postman
) -> None:
    """Neither picture nor intimate, in text, HTML or subject; in the person's language."""
    number, _ = people.open_case("fr")
    people.decide(people.hand_over(number, picture))
    steward.round()
    for message in postman.taken:
        kinds = [part.get_content_type() for part in message.iter_parts()]
        assert kinds == ["text/plain", "text/html"]
        whole = message.as_string().lower()
        for word in ("image", "picture", "intim", "nude", "photo"):
            assert word not in whole.replace("imageward", "")
    assert any("Votre demande" in text for text in postman.texts)


def test_contacts_are_erased_when_nobody_needs_them(
    people: People, steward: Steward, clock: Clock, intake: Intake, picture: bytes
) -> None:
    """Thirty days after the last deletion, and not before; a waiting case keeps its own."""
    number, _ = people.open_case()
    people.decide(people.hand_over(number, picture))
    for days, is_kept in ((30, True), (1, False)):
        clock.now_s += days * DAY_S
        steward.round()
        with intake.store.reading() as connection:
            case = cases.get(connection, number)
        assert (case.contact is not None) == is_kept


def test_what_no_row_knows_is_destroyed(
    intake: Intake, steward: Steward, people: People, picture: bytes
) -> None:
    """As after the store was restored from an older backup; what is known stays."""
    number, _ = people.open_case()
    known = people.hand_over(number, picture)
    intake.quarantine.begin("STRAY-00000", "00").close()
    steward.round()
    assert intake.quarantine.held() == {number: {known}}


def test_what_never_arrived_whole_is_forgotten_after_an_hour(
    intake: Intake, steward: Steward, people: People, clock: Clock
) -> None:
    """A process that was killed in an upload leaves a row and a file for an hour at most."""
    number, _ = people.open_case()
    arrival = Arrival(intake, number)
    arrival.write(b"half")
    steward.round()
    assert people.pictures(number)
    clock.now_s += HOUR_S
    steward.round()
    arrival._file.close()
    assert (people.pictures(number), intake.quarantine.held()) == ([], {})


def test_the_steady_clock_does_not_follow_steps() -> None:
    """It goes on by the monotonic clock, tells the drift, and never before what was seen."""
    wall, monotonic = [1000.0], [50.0]
    clock = SteadyClock(lambda: wall[0], lambda: monotonic[0])
    wall[0], monotonic[0] = 90_000.0, 60.0
    assert (clock(), clock.drift_s()) == (1010.0, 88_990.0)
    clock.not_before(2000.0)
    assert clock() == 2000.0
    clock.not_before(1500.0)
    monotonic[0] += 5
    assert clock() == 2005.0
