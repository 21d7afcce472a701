"""Questions go out and answers come back in order on one stream."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING

import grpc
import pytest

import imageward_client as iw

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.client.conftest import Ask, Peer

HASH = "0f" * 32


def test_answers_come_in_order(peer: Peer, ask: Ask) -> None:
    """Each question has one answer with its number; a refusal is one of them."""
    queries = [iw.ImageQuery(b"block"), iw.ImageQuery(b"torn"), iw.HashQuery(HASH)]
    answers = ask(peer.target, "check_stream", queries)
    assert [answer.sequence for answer in answers] == [0, 1, 2]
    assert [answer.result and answer.result.verdict for answer in answers] == [
        iw.Verdict.BLOCK,
        None,
        iw.Verdict.ALLOW,
    ]
    refusal = answers[1].refusal
    assert iw.UndecodableImage is type(refusal)
    assert (refusal.code, refusal.metadata) == ("INVALID_ARGUMENT", {"image_bytes": "4"})
    assert [answer.revision for answer in answers] == [7, 0, 7]


def test_query_may_have_its_own_scope(peer: Peer, ask: Ask) -> None:
    """A query's own scope replaces the stream's."""
    queries = [iw.HashQuery(HASH), iw.HashQuery(HASH, iw.Scope(surface="OTHER"))]
    ask(peer.target, "check_stream", queries, surface="FACEBOOK", minimum_revision=3)
    scopes = [request.scope for request in peer.script.requests["CheckStream"]]
    assert [(s.surface, s.minimum_revision) for s in scopes] == [("FACEBOOK", 3), ("OTHER", 0)]


def test_empty_stream_has_no_answers(peer: Peer, ask: Ask) -> None:
    """Nothing asked, nothing answered."""
    assert ask(peer.target, "check_stream", []) == []


def test_failure_of_the_queries_is_raised(peer: Peer, ask: Ask) -> None:
    """What the caller's iterator raises reaches the caller, after the answers before it."""
    with pytest.raises(RuntimeError, match="out of disk"):
        ask(peer.target, "check_stream", _failing())
    assert len(peer.script.requests["CheckStream"]) == 1


def test_query_that_is_no_hash_is_raised(peer: Peer, ask: Ask) -> None:
    """A query that cannot be sent ends the stream with its own error."""
    with pytest.raises(iw.InvalidHash):
        ask(peer.target, "check_stream", [iw.HashQuery("0F" * 32)])


def test_status_ends_the_stream(peer: Peer, ask: Ask) -> None:
    """A stream that the server refuses raises the refusal's class."""
    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    peer.script.fail("CheckStream", code, reason="TOO_MANY_STREAMS", retry_after_s=2.0)
    with pytest.raises(iw.TooManyStreams) as caught:
        ask(peer.target, "check_stream", [iw.HashQuery(HASH)])
    assert caught.value.retry_after_s == 2.0


def test_stream_has_a_deadline(peer: Peer) -> None:
    """A stream whose questions stop without an end is over at its timeout."""
    over = threading.Event()

    def endless() -> Iterator[iw.HashQuery]:
        yield iw.HashQuery(HASH)
        over.wait(30)

    with iw.Client(peer.target) as client:
        answers = client.check_stream(endless(), timeout_s=0.5)
        assert next(answers).sequence == 0
        with pytest.raises(iw.DeadlineExceeded):
            next(answers)
    over.set()


def test_leaving_early_cancels(peer: Peer) -> None:
    """Closing the answers ends the stream at the server, though questions are still to come."""
    over = threading.Event()

    def endless() -> Iterator[iw.HashQuery]:
        yield iw.HashQuery(HASH)
        over.wait(30)

    with iw.Client(peer.target) as client:
        answers = client.check_stream(endless())
        next(answers)
        assert not peer.script.stream_ended.is_set()
        answers.close()
        assert peer.script.stream_ended.wait(10)
    over.set()


def test_asynchronous_questions(peer: Peer) -> None:
    """The asyncio client takes an async iterator and answers as it goes."""

    async def asked() -> list[int]:
        async with iw.AsyncClient(peer.target) as client:
            queue: asyncio.Queue[iw.HashQuery] = asyncio.Queue()
            await queue.put(iw.HashQuery(HASH))
            seen = []
            async with contextlib.aclosing(client.check_stream(_drained(queue))) as answers:
                async for answer in answers:
                    seen.append(answer.sequence)
                    if len(seen) == 3:
                        return seen
                    # The next question depends on this answer.
                    await queue.put(iw.HashQuery(HASH))
            return seen

    assert asyncio.run(asked()) == [0, 1, 2]


def test_failure_of_asynchronous_questions_is_raised(peer: Peer) -> None:
    """What an async iterator raises reaches the caller."""

    async def failing() -> AsyncIterator[iw.HashQuery]:
        yield iw.HashQuery(HASH)
        raise RuntimeError("out of disk")

    async def asked() -> None:
        async with iw.AsyncClient(peer.target) as client:
            async for _ in client.check_stream(failing()):
                pass

    with pytest.raises(RuntimeError, match="out of disk"):
        asyncio.run(asked())


async def _drained(queue: asyncio.Queue[iw.HashQuery]) -> AsyncIterator[iw.HashQuery]:
    while True:
        yield await queue.get()


def _failing() -> Iterator[iw.HashQuery]:
    yield iw.HashQuery(HASH)
    raise RuntimeError("out of disk")
