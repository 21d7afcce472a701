"""The calls about cases: what is sent, how it is read, and what may be sent twice."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import grpc
import pytest

import imageward_client as iw
from imageward.v1 import case_pb2

if TYPE_CHECKING:
    from tests.client.conftest import Ask, Peer

NUMBER = "7Q4K2-M9PXW"
LINK = "https://ward.example/u/secret"
DAY = datetime(2026, 11, 23, tzinfo=UTC)
FAST = iw.RetryPolicy(attempts_max=4, backoff_first_s=0.01, backoff_max_s=0.02)
OPTIONS = {"retry": FAST, "timeout_s": 60}

ONCE = {
    "OpenCase": ("open_case", ("sam@example.org",), {"region": "UK"}),
    "RenewLink": ("renew_link", (NUMBER,), {}),
    "ReportPosted": (
        "report_posted",
        (b"x",),
        {"upload_id": "17", "surface": "FACEBOOK", "region": "UK"},
    ),
    "AppealEntry": ("appeal_entry", ("00" * 8, b"x"), {}),
}
AGAIN = {
    "RevokeLink": ("revoke_link", (NUMBER,), {}),
    "GetCase": ("get_case", (NUMBER,), {}),
    "ListCases": ("list_cases", (), {}),
    "ReportAction": ("report_action", (["00" * 8],), {"surface": "FACEBOOK"}),
}


@pytest.fixture(autouse=True)
def _script(peer: Peer) -> None:
    """Scripts an answer for each call."""
    answers = {
        "OpenCase": case_pb2.OpenCaseResponse(case_number=NUMBER, link=LINK, link_expire_time=DAY),
        "RenewLink": case_pb2.RenewLinkResponse(link=LINK, link_expire_time=DAY),
        "RevokeLink": case_pb2.RevokeLinkResponse(revoked=True),
        "GetCase": case_pb2.GetCaseResponse(case=_case()),
        "ListCases": case_pb2.ListCasesResponse(cases=[_case()]),
        "ReportPosted": case_pb2.ReportPostedResponse(case_number=NUMBER),
        "ReportAction": case_pb2.ReportActionResponse(),
        "AppealEntry": case_pb2.AppealEntryResponse(case_number=NUMBER),
    }
    for method, answer in answers.items():
        peer.script.answers[method] = lambda _, answer=answer: answer


def _case() -> case_pb2.Case:
    decided = case_pb2.CasePicture(
        receive_time=DAY, due_time=DAY, decide_time=DAY, delete_time=DAY, entry_id="00" * 8
    )
    waiting = case_pb2.CasePicture(receive_time=DAY, due_time=DAY, appeal=True)
    stop = case_pb2.StopCount(
        surface="FACEBOOK", day=DAY, action=case_pb2.STOP_ACTION_REVIEWED, count=3
    )
    return case_pb2.Case(
        number=NUMBER,
        state=case_pb2.CASE_STATE_IN_REVIEW,
        region="UK",
        language="fr",
        open_time=DAY,
        pictures=[decided, waiting],
        stops=[stop],
        unsent_mail_count=1,
    )


def test_a_case_is_read_whole(peer: Peer, ask: Ask) -> None:
    """States are words, times are aware, and what is not set is None."""
    decided = iw.CasePicture(DAY, DAY, DAY, DAY, "00" * 8, "", appeal=False)
    waiting = iw.CasePicture(DAY, DAY, None, None, None, "", appeal=True)
    stop = iw.StopCount("FACEBOOK", DAY, iw.StopAction.REVIEWED, 3)
    expected = iw.Case(
        NUMBER, iw.CaseState.IN_REVIEW, "UK", "fr", DAY, (decided, waiting), (stop,), 1
    )
    assert expected == ask(peer.target, "get_case", NUMBER)
    assert [expected] == ask(peer.target, "list_cases")


def test_a_state_that_is_not_known_is_no_answer(peer: Peer, ask: Ask) -> None:
    """A newer server's state is an error, not a guess."""
    peer.script.answers["GetCase"] = lambda _: case_pb2.GetCaseResponse(case={"state": 99})
    with pytest.raises(iw.UnreadableAnswer, match="CaseState 99"):
        ask(peer.target, "get_case", NUMBER)


@pytest.mark.parametrize("method", ["open_case", "renew_link"])
def test_a_link_is_not_printed(peer: Peer, ask: Ask, method: str) -> None:
    """The repr of an answer leaves out the link, which is the person's secret."""
    name, arguments, keywords = next(call for call in ONCE.values() if call[0] == method)
    answer = ask(peer.target, name, *arguments, **keywords)
    assert (answer.link, answer.link_expire_time) == (LINK, DAY)
    assert "secret" not in repr(answer)


@pytest.mark.parametrize("method", ONCE)
def test_what_would_be_done_twice_is_sent_once(peer: Peer, ask: Ask, method: str) -> None:
    """A call without a request id, and with an effect, is the caller's to repeat."""
    peer.script.fail(method, grpc.StatusCode.UNAVAILABLE)
    name, arguments, keywords = ONCE[method]
    with pytest.raises(iw.Unavailable):
        ask(peer.target, name, *arguments, options=OPTIONS, **keywords)
    assert len(peer.script.requests[method]) == 1


@pytest.mark.parametrize("method", AGAIN)
def test_what_may_be_sent_twice_is_tried_again(peer: Peer, ask: Ask, method: str) -> None:
    """It succeeds after two UNAVAILABLE answers, and every sending is the same."""
    peer.script.fail(method, grpc.StatusCode.UNAVAILABLE, times=2)
    name, arguments, keywords = AGAIN[method]
    ask(peer.target, name, *arguments, options=OPTIONS, **keywords)
    sent = peer.script.requests[method]
    assert [sent[0]] * 3 == sent


def test_each_report_of_an_action_has_its_own_request_id(peer: Peer, ask: Ask) -> None:
    """Unless the caller gives one, which is sent as it is."""
    for request_id in (None, None, "mine"):
        ask(peer.target, "report_action", ["00" * 8], surface="FACEBOOK", request_id=request_id)
    first, second, third = [sent.request_id for sent in peer.script.requests["ReportAction"]]
    assert (len(first), len(second), third) == (32, 32, "mine")
    assert first != second


@pytest.mark.parametrize("method", ["ReportPosted", "AppealEntry"])
def test_a_picture_over_the_bound_is_not_sent(peer: Peer, ask: Ask, method: str) -> None:
    """It is refused here, before megabytes go through the network."""
    name, arguments, keywords = ONCE[method]
    with pytest.raises(iw.ImageTooLarge):
        ask(peer.target, name, *arguments[:-1], bytes(20_000_001), **keywords)
    assert peer.script.requests[method] == []
