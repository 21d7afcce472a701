"""A picture's way: handed over, decided, banked, deleted; taken back; never reviewed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from imageward_index.errors import ImageTooLarge, LowQuality, UndecodableImage, UnsupportedFormat
from imageward_server.errors import (
    CaseWithdrawn,
    DataCorrupt,
    DuplicatePicture,
    InvalidRequest,
    PolyglotPicture,
    TooManyPictures,
)
from imageward_server.intake import audit, cases, platform, review, withdrawal
from imageward_server.intake.intake import Intake
from imageward_server.intake.records import CaseState
from imageward_server.intake.refusals import PageRefusal
from imageward_server.intake.review import Decision, RejectReason
from imageward_server.intake.steward import Steward
from imageward_server.store import EntryState
from imageward_server.store.case_tables import PictureState

if TYPE_CHECKING:
    from conftest import Clock, People, Postman


def test_an_approved_picture_is_banked_and_gone(
    people: People, intake: Intake, picture: bytes
) -> None:
    """One entry more, and neither key nor file left."""
    number, _ = people.open_case()
    decided = people.decide(people.hand_over(number, picture))
    (kept,) = people.pictures(number)
    assert decided.entry_id is not None
    assert intake.store.get_entry(decided.entry_id).state is EntryState.ACTIVE
    assert kept.deleted_us == kept.decided_us
    assert people.state(number) is CaseState.PROTECTED
    assert intake.quarantine.held() == {}
    with pytest.raises(DataCorrupt):
        intake.quarantine.read(number, kept.id)


def test_a_rejected_picture_is_gone_without_an_entry(
    people: People, intake: Intake, picture: bytes, steward: Steward, postman: Postman
) -> None:
    """Nothing is banked, and the person is told why and what to do."""
    number, _ = people.open_case()
    people.decide(people.hand_over(number, picture), RejectReason.UNCLEAR)
    steward.round()
    assert intake.store.revision() == 1  # the bank alone
    assert people.state(number) is CaseState.REJECTED
    assert intake.quarantine.held() == {}
    assert "larger or sharper copy" in "".join(postman.texts)


def test_one_rejected_picture_leaves_the_others(
    people: People, intake: Intake, picture: bytes, photograph: object
) -> None:
    """A case's key lives as long as one of its pictures."""
    number, _ = people.open_case()
    first = people.hand_over(number, picture)
    second = people.hand_over(number, photograph("chelsea.png"))  # type: ignore[operator]
    people.decide(first, RejectReason.NOT_INTIMATE)
    assert intake.quarantine.held() == {number: {second}}
    assert intake.quarantine.read(number, second) == photograph("chelsea.png")  # type: ignore[operator]


def test_two_reviewers_must_agree_when_two_are_required(people: People, picture: bytes) -> None:
    """One opinion decides nothing, another one against it neither, a third one does."""
    people.need_two_reviewers()
    number, _ = people.open_case()
    waiting = people.hand_over(number, picture)
    assert people.decide(waiting).state is PictureState.WAITING
    with pytest.raises(PageRefusal, match="reviewer_spoke"):
        people.decide(waiting)
    other = people.decide(waiting, RejectReason.UNCLEAR, reviewer="ben")
    assert other.state is PictureState.WAITING
    assert people.decide(waiting, reviewer="cas").state is PictureState.APPROVED


def test_a_decided_picture_cannot_be_decided_or_seen_again(
    people: People, intake: Intake, picture: bytes
) -> None:
    """Both are refused, and the decision stays."""
    number, _ = people.open_case()
    decided = people.hand_over(number, picture)
    people.decide(decided, RejectReason.UNCLEAR)
    for again in (
        lambda: people.decide(decided, reviewer="ben"),
        lambda: review.show(intake, decided, "ben"),
    ):
        with pytest.raises(PageRefusal, match="picture_decided"):
            again()
    assert people.pictures(number)[0].state is PictureState.REJECTED


def test_every_view_is_audited_before_the_picture_is_seen(
    people: People, intake: Intake, picture: bytes
) -> None:
    """The trail names who looked at which picture."""
    number, _ = people.open_case()
    waiting = people.hand_over(number, picture)
    assert review.show(intake, waiting, "ben") == picture
    with intake.store.reading() as connection:
        trail = [(line.actor, line.action) for line in audit.of_case(connection, number)]
    assert sorted(trail) == sorted(
        [("helpline", "open"), ("helpline", "issue link"), ("person", "upload"), ("ben", "view")]
    )


def test_the_queue_has_the_oldest_deadline_first(
    people: People, intake: Intake, picture: bytes, clock: Clock
) -> None:
    """Whatever the order of the numbers is."""
    handed = []
    for _ in range(4):
        number, _ = people.open_case()
        handed.append(people.hand_over(number, picture))
        clock.now_s += 60
    with intake.store.reading() as connection:
        assert [waiting.id for waiting in review.queue(connection)] == handed


def test_a_withdrawn_case_matches_nothing_and_keeps_nothing(
    people: People, intake: Intake, picture: bytes, photograph: object
) -> None:
    """Its entries are withdrawn, its waiting picture is gone, and no more is taken."""
    number, _ = people.open_case()
    banked = people.decide(people.hand_over(number, picture))
    people.hand_over(number, photograph("chelsea.png"))  # type: ignore[operator]
    withdrawal.withdraw(intake, number)
    withdrawal.withdraw(intake, number)
    assert banked.entry_id is not None
    assert intake.store.get_entry(banked.entry_id).state is EntryState.WITHDRAWN
    assert people.state(number) is CaseState.WITHDRAWN
    assert intake.quarantine.held() == {}
    with pytest.raises(CaseWithdrawn):
        people.hand_over(number, picture)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("empty", UnsupportedFormat),
        ("text", UnsupportedFormat),
        ("torn", UndecodableImage),
        ("large", ImageTooLarge),
        ("blank", LowQuality),
        ("pdf", PolyglotPicture),
        ("zip", PolyglotPicture),
        ("script", PolyglotPicture),
    ],
)
def test_a_picture_that_cannot_be_taken_leaves_nothing(
    name: str, kind: type[Exception], people: People, intake: Intake, picture: bytes
) -> None:
    """It is refused by its kind; neither row nor file is left, and the next one is taken."""
    number, _ = people.open_case()
    with pytest.raises(kind):
        people.hand_over(number, _bad_picture(name, picture))
    assert people.pictures(number) == []
    assert intake.quarantine.held() == {}
    assert people.hand_over(number, picture)


def _bad_picture(name: str, good: bytes) -> bytes:
    import cv2
    import numpy as np

    def blank() -> bytes:
        return cv2.imencode(".png", np.full((300, 300), 90, np.uint8))[1].tobytes()

    return {
        "empty": lambda: b"",
        "text": lambda: b"this is no picture",
        "torn": lambda: good[: len(good) // 2],
        "large": lambda: good + bytes(20_000_001),
        "blank": blank,
        "pdf": lambda: good[:8] + b"%PDF-1.7" + good[8:],
        "zip": lambda: good + b"PK\x05\x06" + bytes(18),
        "script": lambda: good + b"<script>alert(1)</script>",
    }[name]()


def test_the_same_picture_twice_is_refused_once_and_not_across_cases(
    people: People, picture: bytes
) -> None:
    """Within a case the second is told to be there; another case takes it."""
    number, _ = people.open_case()
    people.hand_over(number, picture)
    with pytest.raises(DuplicatePicture):
        people.hand_over(number, picture)
    assert len(people.pictures(number)) == 1
    assert people.hand_over(people.open_case()[0], picture)


def test_a_case_takes_twenty_pictures(
    people: People, picture: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one is refused with the bound."""
    monkeypatch.setattr("imageward_server.intake.reception.CASE_PICTURES_MAX", 1)
    number, _ = people.open_case()
    people.hand_over(number, picture)
    with pytest.raises(TooManyPictures, match="1 pictures"):
        people.hand_over(number, picture)


@pytest.mark.parametrize(
    "wrong",
    [{"region": "XX"}, {"language": "xx"}, {"contact": "no address"}, {"contact": "a@b\n.c"}],
)
def test_a_case_with_a_wrong_field_is_not_opened(wrong: dict[str, str], intake: Intake) -> None:
    """The message names the field or its bound, and no case is left."""
    fields = {"region": "US", "language": "en", "contact": "sam@example.org", **wrong}
    with pytest.raises(InvalidRequest), intake.store.changing() as head:
        cases.open_case(intake, head, opener="helpline", **fields)  # type: ignore[arg-type]
    with intake.store.reading() as connection:
        assert cases.page(connection, "helpline", "", 10) == []


def test_the_contact_is_nowhere_in_clear(people: People, intake: Intake) -> None:
    """It is read back with the key, and the store's files do not hold it."""
    number, _ = people.open_case()
    with intake.store.reading() as connection:
        assert cases.contact_of(intake, cases.get(connection, number)) == people.contact
    folder = intake.quarantine._folder.parent
    held = b"".join(file.read_bytes() for file in folder.iterdir() if file.is_file())
    assert number.encode() in held
    assert people.contact.encode() not in held


def test_an_appeal_that_is_rejected_withdraws_the_entry(
    people: People, intake: Intake, picture: bytes
) -> None:
    """It blocks until the reviewers decide; approving keeps it, rejecting releases it."""
    number, _ = people.open_case()
    entry_id = people.decide(people.hand_over(number, picture)).entry_id
    assert entry_id is not None
    for reason, state in ((None, EntryState.ACTIVE), (RejectReason.UNCLEAR, EntryState.WITHDRAWN)):
        assert platform.appeal(intake, picture, opener="feed", entry_id=entry_id) == number
        (appealed,) = (one for one in people.pictures(number) if one.state is PictureState.WAITING)
        assert intake.store.get_entry(entry_id).state is EntryState.ACTIVE
        review.decide(intake, appealed.id, Decision("ana", reason))
        assert intake.store.get_entry(entry_id).state is state
