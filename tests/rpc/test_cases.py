"""CaseService over a socket: roles, a case's way to a block, counts, appeals."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2
from tests.rpc.intake_server import SECRET, SURFACES, bank, configure, opened_beside

from imageward.v1 import case_pb2, case_pb2_grpc, match_pb2, match_pb2_grpc
from imageward_server.app import Server
from imageward_server.config import Config
from imageward_server.intake import cases, links, review, withdrawal
from imageward_server.intake.intake import Intake
from imageward_server.intake.review import Decision

ReadInfo = Callable[[grpc.RpcError], error_details_pb2.ErrorInfo]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Return a configuration with an intake and a credential of each role."""
    return configure(tmp_path)


@pytest.fixture
def stub(server: Server, channel: grpc.Channel) -> case_pb2_grpc.CaseServiceStub:
    """Return the generated client."""
    del server
    return case_pb2_grpc.CaseServiceStub(channel)


@pytest.fixture
def intake(server: Server, config: Config) -> Iterator[Intake]:
    """Open the same intake beside the server."""
    del server
    with opened_beside(config) as opened:
        yield opened


def by(name: str, secret: str = SECRET) -> list[tuple[str, str]]:
    """Return the metadata of a call by an account."""
    return [("authorization", f"Bearer {name}.{secret}")]


def open_case(stub: case_pb2_grpc.CaseServiceStub) -> case_pb2.OpenCaseResponse:
    """Open a case as the partner."""
    request = case_pb2.OpenCaseRequest(region="UK", contact="sam@example.org")
    return stub.OpenCase(request, metadata=by("helpline"))


def check(channel: grpc.Channel, image: bytes, surface: str) -> match_pb2.CheckResult:
    """Check an upload."""
    request = match_pb2.CheckImageRequest(image=image, scope=match_pb2.CheckScope(surface=surface))
    stub = match_pb2_grpc.MatchServiceStub(channel)
    return stub.CheckImage(request, metadata=by("feed")).result


def test_an_approved_picture_blocks_on_every_surface_within_a_second(
    stub: case_pb2_grpc.CaseServiceStub, channel: grpc.Channel, intake: Intake, astronaut: bytes
) -> None:
    """Approved by another process, found by this one, and counted where it was stopped."""
    number = open_case(stub).case_number
    assert check(channel, astronaut, "FACEBOOK").verdict == match_pb2.VERDICT_ALLOW
    bank(intake, number, astronaut)
    begun_s = time.monotonic()
    while check(channel, astronaut, "FACEBOOK").verdict != match_pb2.VERDICT_BLOCK:
        assert time.monotonic() < begun_s + 10, "it never came"
    took_s = time.monotonic() - begun_s
    small = cv2.imencode(".jpg", cv2.imdecode(np.frombuffer(astronaut, np.uint8), 1)[::2, ::2])[1]
    for surface in SURFACES:
        found = check(channel, small.tobytes(), surface)
        assert found.verdict == match_pb2.VERDICT_BLOCK
        request = case_pb2.ReportActionRequest(
            entry_ids=found.entry_ids, surface=surface, request_id=f"upload on {surface}"
        )
        for _ in range(2):  # what is sent again counts once
            stub.ReportAction(request, metadata=by("feed"))
    shown = stub.GetCase(case_pb2.GetCaseRequest(case_number=number), metadata=by("helpline")).case
    assert shown.state == case_pb2.CASE_STATE_PROTECTED
    assert [(one.surface, one.count) for one in shown.stops] == [(name, 1) for name in SURFACES]
    assert took_s < 1


def test_a_request_id_names_one_report(
    stub: case_pb2_grpc.CaseServiceStub, intake: Intake, astronaut: bytes
) -> None:
    """Without an id, or with that of another report, nothing is counted."""
    number = open_case(stub).case_number
    bank(intake, number, astronaut)
    with intake.store.reading() as connection:
        (picture,) = cases.pictures_of(connection, number)
    request = case_pb2.ReportActionRequest(
        entry_ids=[f"{picture.entry_id:016x}"], surface="FACEBOOK", request_id="1"
    )
    stub.ReportAction(request, metadata=by("feed"))
    for request_id, code in (("", "INVALID_ARGUMENT"), ("1", "ALREADY_EXISTS")):
        request.surface, request.request_id = "MESSENGER", request_id
        with pytest.raises(grpc.RpcError) as refusal:
            stub.ReportAction(request, metadata=by("feed"))
        assert refusal.value.code().name == code
    shown = stub.GetCase(case_pb2.GetCaseRequest(case_number=number), metadata=by("helpline")).case
    assert [(one.surface, one.count) for one in shown.stops] == [("FACEBOOK", 1)]


def test_a_withdrawn_case_is_allowed_again_within_a_second(
    stub: case_pb2_grpc.CaseServiceStub, channel: grpc.Channel, intake: Intake, astronaut: bytes
) -> None:
    """Withdrawn by another process, gone from this one."""
    number = open_case(stub).case_number
    bank(intake, number, astronaut)
    while check(channel, astronaut, "MESSENGER").verdict != match_pb2.VERDICT_BLOCK:
        pass
    withdrawal.withdraw(intake, number)
    begun_s = time.monotonic()
    while check(channel, astronaut, "MESSENGER").verdict != match_pb2.VERDICT_ALLOW:
        assert time.monotonic() < begun_s + 10, "it never went"
    assert time.monotonic() - begun_s < 1


def test_an_appeal_and_a_report_come_before_the_reviewers(
    stub: case_pb2_grpc.CaseServiceStub, intake: Intake, astronaut: bytes
) -> None:
    """Both are pictures that wait; the appeal in the case of the entry."""
    report = case_pb2.ReportPostedRequest(
        image=astronaut, upload_id="post 7", surface="INSTAGRAM", region="US"
    )
    number = stub.ReportPosted(report, metadata=by("feed")).case_number
    with intake.store.reading() as connection:
        (reported,) = review.queue(connection)
        assert cases.get(connection, number).upload_id == "post 7"
    entry_id = review.decide(intake, reported.id, Decision("ana")).entry_id
    appeal = case_pb2.AppealEntryRequest(entry_id=f"{entry_id:016x}", image=astronaut)
    assert stub.AppealEntry(appeal, metadata=by("feed")).case_number == number
    with intake.store.reading() as connection:
        assert [(one.kind.name, one.case_number) for one in review.queue(connection)] == [
            ("APPEAL", number)
        ]


def test_a_link_is_renewed_and_revoked(stub: case_pb2_grpc.CaseServiceStub, intake: Intake) -> None:
    """The one before stops working; revoking tells whether there was one."""
    opened = open_case(stub)
    renewed = stub.RenewLink(
        case_pb2.RenewLinkRequest(case_number=opened.case_number), metadata=by("helpline")
    )
    request = case_pb2.RevokeLinkRequest(case_number=opened.case_number)
    assert opened.link != renewed.link
    assert stub.RevokeLink(request, metadata=by("helpline")).revoked
    assert not stub.RevokeLink(request, metadata=by("helpline")).revoked
    for link in (opened.link, renewed.link):
        with intake.store.reading() as connection, pytest.raises(Exception, match="link_revoked"):
            links.check(connection, link.rpartition("/")[2], intake.now_us())


def test_a_partner_lists_its_own_cases_by_pages(stub: case_pb2_grpc.CaseServiceStub) -> None:
    """All of them once, and none of another's."""
    opened = {open_case(stub).case_number for _ in range(3)}
    listed, token = [], ""
    while True:
        request = case_pb2.ListCasesRequest(page_size=2, page_token=token)
        page = stub.ListCases(request, metadata=by("helpline"))
        listed += [case.number for case in page.cases]
        token = page.next_page_token
        if not token:
            break
    assert (set(listed), len(listed)) == (opened, 3)
    assert not stub.ListCases(case_pb2.ListCasesRequest(), metadata=by("other")).cases


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ([], "UNAUTHENTICATED"),
        (by("helpline", "wrong"), "UNAUTHENTICATED"),
        (by("nobody"), "UNAUTHENTICATED"),
        (by("ana"), "PERMISSION_DENIED"),
        (by("feed"), "PERMISSION_DENIED"),
        (by("other"), "PERMISSION_DENIED"),
    ],
)
def test_who_may_not_is_refused(
    metadata: list[tuple[str, str]],
    reason: str,
    stub: case_pb2_grpc.CaseServiceStub,
    error_info: ReadInfo,
) -> None:
    """No token, a wrong one, another role, or another partner's case."""
    request = case_pb2.GetCaseRequest(case_number=open_case(stub).case_number)
    with pytest.raises(grpc.RpcError) as refused:
        stub.GetCase(request, metadata=metadata)
    assert refused.value.code().name == reason
    assert error_info(refused.value).reason == reason


def test_an_unknown_case_is_not_found(
    stub: case_pb2_grpc.CaseServiceStub, error_info: ReadInfo
) -> None:
    """CASE_NOT_FOUND, NOT_FOUND."""
    with pytest.raises(grpc.RpcError) as refused:
        stub.GetCase(case_pb2.GetCaseRequest(case_number="0"), metadata=by("helpline"))
    assert error_info(refused.value).reason == "CASE_NOT_FOUND"


@pytest.mark.parametrize(
    ("image", "reason"),
    [("polyglot", "UNACCEPTABLE_PICTURE"), ("torn", "UNDECODABLE_IMAGE")],
)
def test_a_reported_picture_that_cannot_be_taken_leaves_no_case(
    image: str,
    reason: str,
    stub: case_pb2_grpc.CaseServiceStub,
    intake: Intake,
    astronaut: bytes,
    error_info: ReadInfo,
) -> None:
    """It is refused with its reason, and nothing of it is kept."""
    sent = astronaut + b"<script>" if image == "polyglot" else astronaut[:9000]
    request = case_pb2.ReportPostedRequest(
        image=sent, upload_id="post 8", surface="FACEBOOK", region="US"
    )
    with pytest.raises(grpc.RpcError) as refused:
        stub.ReportPosted(request, metadata=by("feed"))
    assert error_info(refused.value).reason == reason
    assert intake.quarantine.held() == {}
    with intake.store.reading() as connection:
        assert cases.page(connection, "feed", "", 10) == []
