"""Deadlines are kept, and what may be sent twice is, within a budget."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import grpc
import pytest

import imageward_client as iw

if TYPE_CHECKING:
    from tests.client.conftest import Ask, Peer, ServeAt

HASH = "0f" * 32
FAST = iw.RetryPolicy(attempts_max=4, backoff_first_s=0.01, backoff_max_s=0.02)
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
IDEMPOTENT = {
    "CheckImage": ("check_image", (b"x",), {}),
    "CheckHashes": ("check_hashes", ([HASH],), {}),
    "GetBank": ("get_bank", ("B",), {}),
    "ListBanks": ("list_banks", (), {}),
    "UpdateBank": ("update_bank", ("B",), {"radius": 3}),
    "AddEntries": ("add_entries", ("B",), {"hashes": [HASH]}),
    "WithdrawEntries": ("withdraw_entries", (["e0"],), {}),
    "RestoreEntries": ("restore_entries", (["e0"],), {}),
    "GetEntry": ("get_entry", ("e0",), {}),
    "ListEntries": ("list_entries", (), {}),
    "FindMatches": ("find_matches", (), {"hash": HASH}),
    "GetStats": ("get_stats", (), {}),
}


@pytest.mark.parametrize("method", IDEMPOTENT)
def test_unavailable_is_tried_again(peer: Peer, ask: Ask, method: str) -> None:
    """A call that may be sent twice succeeds after two UNAVAILABLE answers."""
    peer.script.bank("B")
    ask(peer.target, "add_entries", "B", hashes=[HASH])
    peer.script.requests.clear()
    peer.script.fail(method, UNAVAILABLE, times=2)
    name, arguments, keywords = IDEMPOTENT[method]
    ask(peer.target, name, *arguments, options={"retry": FAST, "timeout_s": 10}, **keywords)
    assert len(peer.script.requests[method]) == 3


def test_what_a_stopping_server_cancelled_is_tried_again(peer: Peer, ask: Ask) -> None:
    """A call that the server cancels, as one does with what arrives while it stops, succeeds."""
    peer.script.fail("CheckImage", grpc.StatusCode.CANCELLED)
    answer = ask(peer.target, "check_image", b"block", options={"retry": FAST, "timeout_s": 10})
    assert iw.Verdict.BLOCK is answer.verdict
    assert len(peer.script.requests["CheckImage"]) == 2


def test_retried_batch_keeps_its_request_id(peer: Peer, ask: Ask) -> None:
    """Every sending of one batch carries the same request id."""
    peer.script.bank("B")
    peer.script.fail("AddEntries", UNAVAILABLE, times=2)
    ask(peer.target, "add_entries", "B", hashes=[HASH], options={"retry": FAST, "timeout_s": 10})
    ids = {request.request_id for request in peer.script.requests["AddEntries"]}
    assert (len(peer.script.requests["AddEntries"]), len(ids)) == (3, 1)


def test_large_upload_is_tried_again(peer: Peer, ask: Ask) -> None:
    """An upload far over gRPC's own retry buffer of 256 KiB is retried too."""
    peer.script.fail("CheckImage", UNAVAILABLE)
    image = b"block " + bytes(5_000_000)
    answer = ask(peer.target, "check_image", image, options={"retry": FAST, "timeout_s": 20})
    assert iw.Verdict.BLOCK is answer.verdict
    assert len(peer.script.requests["CheckImage"]) == 2


OVERLOADED = {"reason": "OVERLOADED", "retry_after_s": 0.05}
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize(
    ("method", "name", "arguments"),
    [("CheckImage", "check_image", (b"x",)), ("CreateBank", "create_bank", ("B",))],
)
def test_a_refused_call_is_sent_again_when_the_server_says(
    peer: Peer, ask: Ask, method: str, name: str, arguments: tuple[object, ...]
) -> None:
    """After RetryInfo's delay and not before; any call, as it was not begun."""
    peer.script.fail(method, EXHAUSTED, times=2, **OVERLOADED)
    begun = time.monotonic()
    ask(peer.target, name, *arguments, options={"timeout_s": 10})
    assert time.monotonic() - begun >= 0.1
    assert len(peer.script.requests[method]) == 3


@pytest.mark.parametrize(
    ("details", "options"),
    [
        ({"reason": "OVERLOADED"}, {}),
        ({"reason": "TOO_MANY_BANKS"}, {}),
        ({"reason": "OVERLOADED", "retry_after_s": 5.0}, {"timeout_s": 2}),
        (OVERLOADED, {"retry": iw.RetryPolicy(attempts_max=1)}),
        (OVERLOADED, {"retry": iw.RetryPolicy(budget_tokens=1)}),
    ],
    ids=["no time", "no use", "too late", "no attempts", "no budget"],
)
def test_a_refused_call_is_not_sent_again_without_leave(
    peer: Peer, ask: Ask, details: dict[str, object], options: dict[str, object]
) -> None:
    """Not without RetryInfo, beyond the deadline, the attempts or the budget."""
    peer.script.fail("CheckImage", EXHAUSTED, **details)
    with pytest.raises(iw.ImagewardClientError) as caught:
        ask(peer.target, "check_image", b"x", options=options)
    assert (caught.value.code, caught.value.reason) == ("RESOURCE_EXHAUSTED", details["reason"])
    assert len(peer.script.requests["CheckImage"]) == 1


def test_create_bank_is_not_tried_again(peer: Peer, ask: Ask) -> None:
    """A bank is asked for once: a second try would meet its own first as somebody else's."""
    peer.script.fail("CreateBank", UNAVAILABLE)
    with pytest.raises(iw.Unavailable):
        ask(peer.target, "create_bank", "B", options={"retry": FAST})
    assert len(peer.script.requests["CreateBank"]) == 1


def test_stream_is_not_tried_again(peer: Peer, ask: Ask) -> None:
    """A stream that breaks is the caller's to open again."""
    peer.script.fail("CheckStream", UNAVAILABLE)
    with pytest.raises(iw.Unavailable):
        ask(peer.target, "check_stream", [iw.HashQuery(HASH)], options={"retry": FAST})
    assert len(peer.script.requests["CheckStream"]) == 1


@pytest.mark.parametrize(
    "code", [grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INTERNAL, grpc.StatusCode.ABORTED]
)
def test_other_statuses_are_not_tried_again(peer: Peer, ask: Ask, code: grpc.StatusCode) -> None:
    """Only UNAVAILABLE is retried: a full server is not asked again at once."""
    peer.script.fail("CheckImage", code)
    with pytest.raises(iw.ImagewardClientError):
        ask(peer.target, "check_image", b"x", options={"retry": FAST})
    assert len(peer.script.requests["CheckImage"]) == 1


@pytest.mark.parametrize("attempts_max", [1, 2, 5])
def test_attempts_are_bounded(peer: Peer, ask: Ask, attempts_max: int) -> None:
    """A call is sent as often as the policy says and then fails."""
    policy = iw.RetryPolicy(attempts_max=attempts_max, backoff_first_s=0.01, backoff_max_s=0.02)
    peer.script.fail("CheckImage", UNAVAILABLE, times=9)
    with pytest.raises(iw.Unavailable):
        ask(peer.target, "check_image", b"x", options={"retry": policy, "timeout_s": 10})
    assert attempts_max == len(peer.script.requests["CheckImage"])


def test_budget_ends_retries(peer: Peer) -> None:
    """Once half of the tokens are gone each call is sent once."""
    policy = iw.RetryPolicy(backoff_first_s=0.01, backoff_max_s=0.02, budget_tokens=10)
    peer.script.fail("CheckImage", UNAVAILABLE, times=99)
    sent = []
    with iw.Client(peer.target, retry=policy, timeout_s=10, channels=1) as client:
        for _ in range(4):
            with pytest.raises(iw.Unavailable):
                client.check_image(b"x")
            sent.append(len(peer.script.requests["CheckImage"]))
    # Tokens 10 -> 6 after the first call; the fifth failure leaves 5 and no retry.
    assert sent == [4, 5, 6, 7]


def test_deadline_is_kept(peer: Peer, ask: Ask) -> None:
    """A call to a server that does not answer ends at its timeout."""
    peer.script.hold("CheckImage", 30)
    started = time.monotonic()
    with pytest.raises(iw.DeadlineExceeded):
        ask(peer.target, "check_image", b"x", timeout_s=0.2)
    assert 0.1 < time.monotonic() - started < 2


def test_deadline_of_the_client_is_kept(peer: Peer, ask: Ask) -> None:
    """The client's timeout holds for every call that names none."""
    peer.script.hold("GetStats", 30)
    started = time.monotonic()
    with pytest.raises(iw.DeadlineExceeded):
        ask(peer.target, "get_stats", options={"timeout_s": 0.2})
    assert 0.1 < time.monotonic() - started < 2


def test_deadline_bounds_retries(peer: Peer, ask: Ask) -> None:
    """Waiting between retries ends at the deadline too."""
    policy = iw.RetryPolicy(attempts_max=5, backoff_first_s=5, backoff_max_s=5)
    peer.script.fail("CheckImage", UNAVAILABLE, times=9)
    started = time.monotonic()
    with pytest.raises((iw.DeadlineExceeded, iw.Unavailable)):
        ask(peer.target, "check_image", b"x", options={"retry": policy}, timeout_s=0.3)
    assert time.monotonic() - started < 3


def test_client_finds_a_restarted_server(serve_at: ServeAt) -> None:
    """A call during a restart is answered by the server that comes next."""
    with serve_at("127.0.0.1:0") as first:
        target = first.target
        client = iw.Client(target, timeout_s=20)
        assert iw.Verdict.ALLOW is client.check_image(b"x").verdict
    with client, serve_at(target):
        client.wait_for_ready(20)
        assert iw.Verdict.BLOCK is client.check_image(b"block").verdict
