"""A small imageward server of scripted answers, on a real socket.

It keeps banks and entries in lists and decides verdicts by the first word of an
image. `fail` makes the next calls of a method end with a status, as the contract
says errors travel. It knows nothing of the client.
"""

from __future__ import annotations

import asyncio
import contextlib
import operator
import re
import threading
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent import futures
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from google.protobuf import any_pb2, duration_pb2, timestamp_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

import imageward_client
from imageward.v1 import (
    bank_pb2,
    bank_pb2_grpc,
    case_pb2,
    case_pb2_grpc,
    error_pb2,
    match_pb2,
    match_pb2_grpc,
)

SERVICES = (
    match_pb2.DESCRIPTOR.services_by_name["MatchService"],
    bank_pb2.DESCRIPTOR.services_by_name["BankService"],
    case_pb2.DESCRIPTOR.services_by_name["CaseService"],
)
METHODS = tuple(method.name for service in SERVICES for method in service.methods)
PAGE_SIZE = 2
Options = dict[str, Any]
VERDICTS = {
    b"block": match_pb2.VERDICT_BLOCK,
    b"review": match_pb2.VERDICT_REVIEW,
    b"inconclusive": match_pb2.VERDICT_INCONCLUSIVE,
}


@dataclass(frozen=True)
class Failure:
    """A status with the details that the contract gives it."""

    code: grpc.StatusCode
    message: str = "It failed."
    reason: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    domain: str = "imageward"
    retry_after_s: float | None = None
    garbled: bool = False

    def abort(self, context: grpc.ServicerContext) -> None:
        """Ends a call with this status."""
        status = status_pb2.Status(code=self.code.value[0], message=self.message)
        for detail in self._details():
            status.details.append(any_pb2.Any())
            status.details[-1].Pack(detail)
        details = b"\xff" if self.garbled else status.SerializeToString()
        context.set_trailing_metadata((("grpc-status-details-bin", details),))
        context.abort(self.code, self.message)

    def _details(self) -> Iterator[Message]:
        if self.reason:
            yield error_details_pb2.ErrorInfo(
                reason=self.reason, domain=self.domain, metadata=self.metadata
            )
        if self.retry_after_s is not None:
            delay = duration_pb2.Duration()
            delay.FromMilliseconds(int(self.retry_after_s * 1_000))
            yield error_details_pb2.RetryInfo(retry_delay=delay)


Answer = Message | Failure


class Scripted(
    match_pb2_grpc.MatchServiceServicer,
    bank_pb2_grpc.BankServiceServicer,
    case_pb2_grpc.CaseServiceServicer,
):
    """The servicer of all services; of cases it knows only what a test scripts."""

    def __init__(self) -> None:
        self.requests: dict[str, list[Message]] = defaultdict(list)
        self.answers: dict[str, Callable[[Message], Answer]] = {}
        self.banks: dict[str, bank_pb2.Bank] = {}
        self.entries: list[bank_pb2.Entry] = []
        self.added: dict[str, bank_pb2.AddEntriesResponse] = {}
        self._failures: dict[str, list[Failure]] = defaultdict(list)
        self._delays_s: dict[str, float] = {}
        self.gate = threading.Event()
        self.stream_ended = threading.Event()
        self.lock = threading.Lock()

    def fail(
        self, method: str, code: grpc.StatusCode, *, times: int = 1, **details: object
    ) -> None:
        """Makes the next calls of a method end with a status."""
        self._failures[method].extend([Failure(code, **details)] * times)

    def failure(self, code: grpc.StatusCode, **details: object) -> Failure:
        """Returns a status that a scripted answer may be."""
        return Failure(code, **details)

    def hold(self, method: str, hold_s: float) -> None:
        """Makes a method wait for the gate, at most so long, before it answers."""
        self._delays_s[method] = hold_s

    def bank(self, name: str) -> bank_pb2.Bank:
        """Makes a bank with the default policy."""
        policy = bank_pb2.Policy(action=bank_pb2.ACTION_BLOCK, radius_bits=31, enabled=True)
        self.banks[name] = bank_pb2.Bank(
            name=name, policy=policy, create_time=_now(), update_time=_now(), revision=7
        )
        return self.banks[name]

    def answer(self, method: str, request: Message, context: grpc.ServicerContext) -> Message:
        """Answers one call of any method."""
        with self.lock:
            self.requests[method].append(request)
            failure = self._failures[method].pop(0) if self._failures[method] else None
        if failure:
            failure.abort(context)
        if method in self._delays_s:
            self.gate.wait(self._delays_s[method])
        scripted = self.answers.get(method) or getattr(self, f"_{_snake(method)}")
        with self.lock:
            answer = scripted(request)
        if isinstance(answer, Failure):
            answer.abort(context)
        return answer

    def stream(
        self, request_iterator: Iterator[Message], context: grpc.ServicerContext
    ) -> Iterator[Message]:
        """Answers each question in order."""
        try:
            for request in request_iterator:
                self.requests["CheckStream"].append(request)
                for failure in self._failures.pop("CheckStream", []):
                    failure.abort(context)
                yield self._stream_answer(request)
        finally:
            self.stream_ended.set()

    def _stream_answer(self, request: Message) -> Answer:
        if request.image.startswith(b"torn"):
            return match_pb2.CheckStreamResponse(sequence=request.sequence, refusal=_torn())
        result = _result(request.image)
        return match_pb2.CheckStreamResponse(sequence=request.sequence, result=result, revision=7)

    def _check_image(self, request: Message) -> Answer:
        if request.image.startswith(b"torn"):
            return Failure(
                grpc.StatusCode.INVALID_ARGUMENT, "The image is torn.", "UNDECODABLE_IMAGE"
            )
        return match_pb2.CheckImageResponse(result=_result(request.image), revision=7)

    def _check_hashes(self, request: Message) -> Answer:
        return match_pb2.CheckHashesResponse(
            results=[_result(b"block") for _ in request.hashes], revision=7
        )

    def _create_bank(self, request: Message) -> Answer:
        if request.name in self.banks:
            return Failure(grpc.StatusCode.ALREADY_EXISTS, "The name is taken.", "BANK_EXISTS")
        bank = self.bank(request.name)
        bank.policy.CopyFrom(request.policy)
        return bank_pb2.CreateBankResponse(bank=bank)

    def _get_bank(self, request: Message) -> Answer:
        if request.name not in self.banks:
            return _no_bank()
        return bank_pb2.GetBankResponse(bank=self.banks[request.name])

    def _list_banks(self, request: Message) -> Answer:
        page, token = _page([self.banks[name] for name in sorted(self.banks)], request)
        return bank_pb2.ListBanksResponse(banks=page, next_page_token=token)

    def _update_bank(self, request: Message) -> Answer:
        if request.name not in self.banks:
            return _no_bank()
        policy = self.banks[request.name].policy
        for path in request.update_mask.paths:
            policy.ClearField(path)
        request.update_mask.MergeMessage(request.policy, policy)
        return bank_pb2.UpdateBankResponse(bank=self.banks[request.name])

    def _add_entries(self, request: Message) -> Answer:
        if request.bank not in self.banks:
            return _no_bank()
        if request.request_id in self.added:
            replay = bank_pb2.AddEntriesResponse()
            replay.CopyFrom(self.added[request.request_id])
            replay.replayed = True
            return replay
        results = [self._banked(request.bank, new) for new in request.entries]
        answer = bank_pb2.AddEntriesResponse(results=results, revision=8)
        self.added[request.request_id] = answer
        return answer

    def _banked(self, bank: str, new: bank_pb2.NewEntry) -> bank_pb2.AddEntryResult:
        if new.image.startswith(b"flat") or (
            new.hash.HasField("quality") and new.hash.quality < 50
        ):
            refusal = error_pb2.Refusal(
                reason=error_pb2.ERROR_REASON_LOW_QUALITY, message="The quality is under 50."
            )
            return bank_pb2.AddEntryResult(refusal=refusal, quality=new.hash.quality)
        entry = bank_pb2.Entry(
            id=f"e{len(self.entries)}",
            bank=bank,
            state=bank_pb2.ENTRY_STATE_ACTIVE,
            source=bank_pb2.ENTRY_SOURCE_HASH,
            hash=new.hash,
            regional_code_count=0,
            reference=new.reference,
            create_time=_now(),
            update_time=_now(),
            revision=8,
        )
        if new.WhichOneof("content") == "image":
            entry.source = bank_pb2.ENTRY_SOURCE_IMAGE
            entry.hash.pdq = bytes(range(32))
            entry.hash.quality = 90
            entry.regional_code_count = 150
        self.entries.append(entry)
        return bank_pb2.AddEntryResult(entry_id=entry.id)

    def _withdraw_entries(self, request: Message) -> Answer:
        return self._changed(request, bank_pb2.ENTRY_STATE_WITHDRAWN, "Withdraw")

    def _restore_entries(self, request: Message) -> Answer:
        return self._changed(request, bank_pb2.ENTRY_STATE_ACTIVE, "Restore")

    def _changed(self, request: Message, state: int, verb: str) -> Answer:
        found = [entry for entry in self.entries if entry.id in request.entry_ids]
        if len(found) < len(request.entry_ids):
            return _no_entry()
        changed = [entry for entry in found if entry.state != state]
        for entry in changed:
            entry.state = state
        response = getattr(bank_pb2, f"{verb}EntriesResponse")
        return response(revision=9, changed_count=len(changed))

    def _get_entry(self, request: Message) -> Answer:
        for entry in self.entries:
            if entry.id == request.entry_id:
                fingerprint = b"all of it" if request.with_fingerprint else b""
                return bank_pb2.GetEntryResponse(entry=entry, fingerprint=fingerprint)
        return _no_entry()

    def _list_entries(self, request: Message) -> Answer:
        if request.bank and request.bank not in self.banks:
            return _no_bank()
        wanted = [
            entry
            for entry in self.entries
            if request.bank in ("", entry.bank) and request.state in (0, entry.state)
        ]
        page, token = _page(wanted, request)
        return bank_pb2.ListEntriesResponse(entries=page, next_page_token=token)

    def _find_matches(self, _request: Message) -> Answer:
        match = bank_pb2.Match(
            entry_id="e0",
            bank="B",
            distance_bits=12,
            orientation=bank_pb2.ORIENTATION_FLIP_HORIZONTAL,
            method=bank_pb2.METHOD_TRIMMED,
            certain=True,
        )
        part = bank_pb2.Match(
            entry_id="e1",
            bank="B",
            method=bank_pb2.METHOD_PARTS_MIRRORED,
            coverage=0.5,
            inliers=7,
            corners_in_query=[bank_pb2.Point(x=-0.5, y=1)],
            corners_in_entry=[bank_pb2.Point(x=0.25, y=0)],
        )
        return bank_pb2.FindMatchesResponse(
            matches=[match, part],
            revision=7,
            quality=88,
            completeness=match_pb2.COMPLETENESS_CUT_SHORT,
        )

    def _get_stats(self, _request: Message) -> Answer:
        return bank_pb2.GetStatsResponse(
            revision=7,
            store_revision=8,
            index_size=len(self.entries),
            regional_code_count=248,
            banks=[bank_pb2.BankStats(bank="B", active_count=3, withdrawn_count=1)],
            server_version="0.1.0",
            start_time=_now(),
        )


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()


def _unary(name: str) -> Callable[..., Message]:
    return lambda self, request, context: self.answer(name, request, context)


for _name in METHODS:
    setattr(Scripted, _name, Scripted.stream if _name == "CheckStream" else _unary(_name))


@dataclass
class Peer:
    """A server that runs, its script and its health."""

    target: str
    script: Scripted
    health: health.HealthServicer


ServeAt = Callable[[str], contextlib.AbstractContextManager[Peer]]


@pytest.fixture
def peer() -> Iterator[Peer]:
    """A scripted server that serves on a free port."""
    with _serving("127.0.0.1:0") as running:
        yield running


@pytest.fixture
def serve_at() -> ServeAt:
    """Starts scripted servers at a given `host:port`."""
    return _serving


@contextlib.contextmanager
def _serving(target: str) -> Iterator[Peer]:
    server = grpc.server(
        futures.ThreadPoolExecutor(8), options=[("grpc.max_receive_message_length", 40_000_000)]
    )
    script, health_servicer = Scripted(), health.HealthServicer()
    health_servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    match_pb2_grpc.add_MatchServiceServicer_to_server(script, server)
    bank_pb2_grpc.add_BankServiceServicer_to_server(script, server)
    case_pb2_grpc.add_CaseServiceServicer_to_server(script, server)
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, server)
    host = target.rsplit(":", 1)[0]
    port = server.add_insecure_port(target)
    server.start()
    try:
        yield Peer(f"{host}:{port}", script, health_servicer)
    finally:
        script.gate.set()
        server.stop(grace=0).wait()


def _result(image: bytes) -> match_pb2.CheckResult:
    verdict = VERDICTS.get(image.split(b" ")[0], match_pb2.VERDICT_ALLOW)
    matched = verdict in (match_pb2.VERDICT_BLOCK, match_pb2.VERDICT_REVIEW)
    return match_pb2.CheckResult(
        verdict=verdict,
        entry_ids=["e0"] if matched else [],
        quality=77,
        completeness=match_pb2.COMPLETENESS_COMPLETE,
    )


def _page(items: list[Message], request: Message) -> tuple[list[Message], str]:
    start = int(request.page_token or 0)
    end = start + PAGE_SIZE
    return items[start:end], str(end) if end < len(items) else ""


def _torn() -> error_pb2.Refusal:
    return error_pb2.Refusal(
        reason=error_pb2.ERROR_REASON_UNDECODABLE_IMAGE,
        message="The image is torn.",
        metadata={"image_bytes": "4"},
    )


def _no_bank() -> Failure:
    return Failure(grpc.StatusCode.NOT_FOUND, "No bank has this name.", "BANK_NOT_FOUND")


def _no_entry() -> Failure:
    return Failure(grpc.StatusCode.NOT_FOUND, "No entry has this id.", "ENTRY_NOT_FOUND")


def _now() -> timestamp_pb2.Timestamp:
    return timestamp_pb2.Timestamp(seconds=int(time.time()))


class Ask:
    """Calls one method of one kind of client, and reads iterators to their end."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __call__(
        self, target: str, method: str, *args: object, options: Options | None = None, **kw: object
    ) -> Any:  # noqa: ANN401 - whatever the method answers
        """Returns what the method answers."""
        call = operator.methodcaller(method, *args, **kw)
        if self.kind == "AsyncClient":
            return asyncio.run(_awaited(target, options or {}, call))
        with imageward_client.Client(target, **(options or {})) as client:
            answer = call(client)
            return list(answer) if isinstance(answer, Iterator) else answer


async def _awaited(target: str, options: Options, call: Callable[[object], Any]) -> object:
    async with imageward_client.AsyncClient(target, **options) as client:
        answer = call(client)
        if isinstance(answer, AsyncIterator):
            return [item async for item in answer]
        return await answer


@pytest.fixture(params=["Client", "AsyncClient"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Both clients, one after the other."""
    return Ask(request.param)
