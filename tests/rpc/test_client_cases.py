"""The shipped clients' calls about cases against a real server with an intake."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.client.conftest import Ask
from tests.rpc.intake_server import SECRET, bank, configure, opened_beside

import imageward_client as iw
from imageward_server.app import Server
from imageward_server.config import Config
from imageward_server.intake import links, review
from imageward_server.intake.intake import Intake
from imageward_server.intake.refusals import PageRefusal
from imageward_server.intake.review import Decision

PATIENCE_S = 60


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Return a configuration with an intake and a credential of each role."""
    return configure(tmp_path)


@pytest.fixture
def intake(server: Server, config: Config) -> Iterator[Intake]:
    """Open the same intake beside the server."""
    del server
    with opened_beside(config) as opened:
        yield opened


class Caller:
    """Calls a server under a name, with one kind of client."""

    def __init__(self, ask: Ask, target: str, name: str) -> None:
        self._ask = ask
        self._target = target
        self._options = {"token": f"{name}.{SECRET}", "timeout_s": PATIENCE_S}

    def __call__(self, method: str, *args: object, **keywords: object) -> Any:  # noqa: ANN401 - whatever the method answers
        """Return what the method answers."""
        return self._ask(self._target, method, *args, options=self._options, **keywords)


@pytest.fixture(params=["Client", "AsyncClient"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Return both clients, one after the other."""
    return Ask(request.param)


@pytest.fixture
def partner(ask: Ask, server: Server) -> Caller:
    """Return the partner's client."""
    return Caller(ask, f"127.0.0.1:{server.port}", "helpline")


@pytest.fixture
def frontend(ask: Ask, server: Server) -> Caller:
    """Return the frontend's client."""
    return Caller(ask, f"127.0.0.1:{server.port}", "feed")


def refused_as(intake: Intake, link: str) -> str:
    """Name why a link is refused; nothing if it is not."""
    with intake.store.reading() as connection:
        try:
            links.check(connection, link.rpartition("/")[2], intake.now_us())
        except PageRefusal as refusal:
            return refusal.key
    return ""


def test_a_partner_opens_a_case_and_governs_its_link(partner: Caller, intake: Intake) -> None:
    """The last link works until it is revoked, and the case is read and listed."""
    opened = partner("open_case", "sam@example.org", region="UK", language="fr")
    renewed = partner("renew_link", opened.case_number)
    assert (
        refused_as(intake, opened.link),
        refused_as(intake, renewed.link),
    ) == ("link_revoked", "")
    assert renewed.link_expire_time >= opened.link_expire_time
    assert partner("revoke_link", opened.case_number) is True
    assert partner("revoke_link", opened.case_number) is False
    assert refused_as(intake, renewed.link) == "link_revoked"
    case = partner("get_case", opened.case_number)
    assert (opened.case_number, iw.CaseState.OPEN, "UK", "fr", ()) == (
        case.number,
        case.state,
        case.region,
        case.language,
        case.pictures,
    )
    assert [case] == partner("list_cases")


def test_a_frontend_reports_what_it_stopped_once(
    partner: Caller, frontend: Caller, intake: Intake, astronaut: bytes
) -> None:
    """The case's picture is banked, and one upload is counted however often it is reported."""
    number = partner("open_case", "sam@example.org", region="UK").case_number
    bank(intake, number, astronaut)
    (picture,) = partner("get_case", number).pictures
    assert picture.entry_id is not None
    report = {"surface": "INSTAGRAM", "action": "REVIEWED", "request_id": "upload 1"}
    for _ in range(2):
        assert frontend("report_action", [picture.entry_id], **report) is None
    with pytest.raises(iw.RequestIdReused):
        frontend("report_action", [picture.entry_id], **{**report, "action": "ALLOWED"})
    case = partner("get_case", number)
    assert [(stop.surface, stop.action, stop.count) for stop in case.stops] == [
        ("INSTAGRAM", iw.StopAction.REVIEWED, 1)
    ]
    assert iw.CaseState.PROTECTED is case.state
    assert picture.decide_time is not None


def test_a_frontend_reports_a_posted_picture_and_appeals(
    frontend: Caller, intake: Intake, astronaut: bytes
) -> None:
    """Both come before the reviewers, in one case; the same appeal again is a duplicate."""
    number = frontend(
        "report_posted", astronaut, upload_id="post 7", surface="FACEBOOK", region="US"
    )
    with intake.store.reading() as connection:
        (reported,) = review.queue(connection)
    entry_id = review.decide(intake, reported.id, Decision("ana")).entry_id
    assert number == frontend("appeal_entry", f"{entry_id:016x}", astronaut)
    with pytest.raises(iw.UnacceptablePicture):
        frontend("appeal_entry", f"{entry_id:016x}", astronaut)
    with intake.store.reading() as connection:
        (appeal,) = review.queue(connection)
    assert ("APPEAL", number) == (appeal.kind.name, appeal.case_number)


def test_a_refusal_is_an_exception_of_its_own(partner: Caller, frontend: Caller) -> None:
    """An unknown case, a contact that is none, and a role that may not."""
    with pytest.raises(iw.CaseNotFound):
        partner("get_case", "0")
    with pytest.raises(iw.InvalidRequest):
        partner("open_case", "no address", region="UK")
    with pytest.raises(iw.PermissionDenied):
        frontend("open_case", "sam@example.org", region="UK")
