"""Every status and every reason once through a socket, each with its ErrorInfo."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import cv2
import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

import imageward_client
from imageward.v1 import bank_pb2, bank_pb2_grpc, case_pb2, hash_pb2, match_pb2, match_pb2_grpc
from imageward.v1.error_pb2 import ErrorReason
from imageward_client import Client
from imageward_client._rebuild import from_rpc_error
from imageward_server.app import Server
from imageward_server.calls.transport import MESSAGE_BYTES_MAX, METADATA_BYTES_MAX
from imageward_server.config import Config
from imageward_server.hasher import InProcessHasher
from imageward_server.store.engine import FILE_NAME

ReadInfo = Callable[[grpc.RpcError], error_details_pb2.ErrorInfo]

Code = grpc.StatusCode
# Reasons that no call can be answered with, and where they are tested instead.
ELSEWHERE = {
    "UNSPECIFIED": "never sent",
    "STORE_INCOMPATIBLE": "the server does not start: test_process.py",
    "IMAGE_TOO_COSTLY": "it takes a cage: test_cage.py",
    "TOO_MANY_COSTLY_IMAGES": "likewise",
    "DEADLINE_EXCEEDED": "the caller's own gRPC says so first: below, without ErrorInfo",
}
PNG_TOO_WIDE = cv2.imencode(".png", np.zeros((1, 16_385), np.uint8))[1].tobytes()


def _add(entry: bank_pb2.NewEntry, **fields: object) -> bank_pb2.AddEntriesRequest:
    request = bank_pb2.AddEntriesRequest(bank="bank", request_id="id", entries=[entry])
    request.MergeFrom(bank_pb2.AddEntriesRequest(**fields))  # type: ignore[arg-type]
    return request


def _hash(width: int = 32) -> hash_pb2.PdqHash:
    return hash_pb2.PdqHash(pdq=bytes(width))


# reason: (status, service, method, request). The server holds one bank, `bank`.
CASES: dict[str, tuple[Code, str, str, object]] = {
    "INVALID_REQUEST": (
        Code.INVALID_ARGUMENT,
        "BankService",
        "CreateBank",
        bank_pb2.CreateBankRequest(name="no spaces"),
    ),
    "UNSUPPORTED_FORMAT": (
        Code.INVALID_ARGUMENT,
        "MatchService",
        "CheckImage",
        match_pb2.CheckImageRequest(image=b"not a picture"),
    ),
    "IMAGE_TOO_LARGE": (
        Code.INVALID_ARGUMENT,
        "MatchService",
        "CheckImage",
        match_pb2.CheckImageRequest(image=PNG_TOO_WIDE),
    ),
    "UNDECODABLE_IMAGE": (
        Code.INVALID_ARGUMENT,
        "MatchService",
        "CheckImage",
        match_pb2.CheckImageRequest(image=PNG_TOO_WIDE[:40]),
    ),
    "INVALID_HASH": (
        Code.INVALID_ARGUMENT,
        "MatchService",
        "CheckHashes",
        match_pb2.CheckHashesRequest(hashes=[_hash(31)]),
    ),
    "INVALID_RADIUS": (
        Code.INVALID_ARGUMENT,
        "BankService",
        "CreateBank",
        bank_pb2.CreateBankRequest(name="wide", policy=bank_pb2.Policy(radius_bits=64)),
    ),
    "INVALID_BATCH": (
        Code.INVALID_ARGUMENT,
        "MatchService",
        "CheckHashes",
        match_pb2.CheckHashesRequest(hashes=[_hash()] * 1025),
    ),
    "UNKNOWN_SURFACE": (
        Code.INVALID_ARGUMENT,
        "MatchService",
        "CheckHashes",
        match_pb2.CheckHashesRequest(
            hashes=[_hash()], scope=match_pb2.CheckScope(surface="FACEBOK")
        ),
    ),
    "INVALID_PAGE_TOKEN": (
        Code.INVALID_ARGUMENT,
        "BankService",
        "ListEntries",
        bank_pb2.ListEntriesRequest(page_token="made up"),
    ),
    "BANK_NOT_FOUND": (
        Code.NOT_FOUND,
        "MatchService",
        "CheckHashes",
        match_pb2.CheckHashesRequest(hashes=[_hash()], scope=match_pb2.CheckScope(banks=["none"])),
    ),
    "ENTRY_NOT_FOUND": (
        Code.NOT_FOUND,
        "BankService",
        "WithdrawEntries",
        bank_pb2.WithdrawEntriesRequest(entry_ids=["0000800000000001"]),
    ),
    "BANK_EXISTS": (
        Code.ALREADY_EXISTS,
        "BankService",
        "CreateBank",
        bank_pb2.CreateBankRequest(name="bank"),
    ),
    "REVISION_NOT_REACHED": (
        Code.OUT_OF_RANGE,
        "MatchService",
        "CheckHashes",
        match_pb2.CheckHashesRequest(
            hashes=[_hash()], scope=match_pb2.CheckScope(minimum_revision=1000)
        ),
    ),
    "INTAKE_NOT_CONFIGURED": (
        Code.FAILED_PRECONDITION,
        "CaseService",
        "GetCase",
        case_pb2.GetCaseRequest(case_number="00000-00000"),
    ),
    "UNKNOWN_METHOD": (Code.UNIMPLEMENTED, "NoService", "NoMethod", bank_pb2.GetStatsRequest()),
}
TESTED_ALONE = {
    "UNACCEPTABLE_PICTURE",  # these four in test_cases.py, where there is an intake
    "CASE_NOT_FOUND",
    "UNAUTHENTICATED",
    "PERMISSION_DENIED",
    "LOW_QUALITY",
    "REQUEST_ID_REUSED",
    "TOO_MANY_BANKS",
    "TOO_MANY_STREAMS",
    "OVERLOADED",
    "RATE_LIMITED",
    "LOADING",
    "DRAINING",
    "STORE_UNAVAILABLE",
    "DATA_CORRUPT",
    "INTERNAL",
    "REFUSED",
}


@pytest.fixture
def bank(client: Client) -> None:
    """Make the bank that the cases speak of."""
    client.create_bank("bank")


def _call(channel: grpc.Channel, service: str, method: str, message: bytes) -> grpc.RpcError:
    """Call without the generated code, and return how the call was refused."""
    raw = channel.unary_unary(f"/imageward.v1.{service}/{method}")
    with pytest.raises(grpc.RpcError) as refused:
        raw(message, timeout=3)
    return refused.value


def test_every_reason_has_a_test() -> None:
    """No reason of the contract is left out here."""
    names = {name.removeprefix("ERROR_REASON_") for name in ErrorReason.DESCRIPTOR.values_by_name}
    assert names == CASES.keys() | TESTED_ALONE | ELSEWHERE.keys()


@pytest.mark.parametrize("reason", CASES)
@pytest.mark.usefixtures("bank")
def test_a_bad_request_is_answered_with_its_reason(
    reason: str, channel: grpc.Channel, error_info: ReadInfo
) -> None:
    """The status, the reason and a message that says what to do come back."""
    code, service, method, request = CASES[reason]
    error = _call(channel, service, method, request.SerializeToString())  # type: ignore[attr-defined]
    assert error.code() is code
    assert error_info(error).reason == reason
    assert len(error.details() or "") > 20


@pytest.mark.usefixtures("bank")
def test_low_quality_is_a_refusal_inside_the_answer(channel: grpc.Channel) -> None:
    """One bad hash is refused with LOW_QUALITY, and the call itself is OK."""
    stub = bank_pb2_grpc.BankServiceStub(channel)
    bad = bank_pb2.NewEntry(hash=hash_pb2.PdqHash(pdq=bytes(32), quality=49))
    (result,) = stub.AddEntries(_add(bad)).results
    assert result.refusal.reason == ErrorReason.ERROR_REASON_LOW_QUALITY
    assert dict(result.refusal.metadata) == {"quality": "49", "quality_min": "50"}


@pytest.mark.usefixtures("bank")
def test_a_request_id_with_other_contents_is_refused(
    channel: grpc.Channel, error_info: ReadInfo
) -> None:
    """REQUEST_ID_REUSED, ALREADY_EXISTS."""
    stub = bank_pb2_grpc.BankServiceStub(channel)
    stub.AddEntries(_add(bank_pb2.NewEntry(hash=_hash())))
    other = _add(bank_pb2.NewEntry(hash=hash_pb2.PdqHash(pdq=b"\1" * 32)))
    error = _call(channel, "BankService", "AddEntries", other.SerializeToString())
    assert error.code() is Code.ALREADY_EXISTS
    assert error_info(error).reason == "REQUEST_ID_REUSED"


@pytest.mark.usefixtures("bank")
def test_a_bank_too_many_is_refused(
    channel: grpc.Channel, config: Config, error_info: ReadInfo
) -> None:
    """TOO_MANY_BANKS, RESOURCE_EXHAUSTED, when the last number is taken."""
    with closing(sqlite3.connect(config.data_dir / FILE_NAME)) as store, store:
        store.execute("UPDATE bank SET number = 65535")
    request = bank_pb2.CreateBankRequest(name="more")
    error = _call(channel, "BankService", "CreateBank", request.SerializeToString())
    assert error.code() is Code.RESOURCE_EXHAUSTED
    assert error_info(error).reason == "TOO_MANY_BANKS"


def test_a_stream_too_many_is_refused_and_told_when_to_return(
    config: Config, error_info: ReadInfo
) -> None:
    """TOO_MANY_STREAMS, RESOURCE_EXHAUSTED with RetryInfo; the next one after a close is served."""
    server = Server(config.model_copy(update={"streams_max": 1}), InProcessHasher())
    server.start(lambda *_progress: None)
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub = match_pb2_grpc.MatchServiceStub(channel)
        question = match_pb2.CheckStreamRequest(sequence=1, hash=_hash())
        held = _HeldOpen(question)
        first = stub.CheckStream(iter(held), timeout=20)
        assert next(first).sequence == 1
        with pytest.raises(grpc.RpcError) as refused:
            next(stub.CheckStream(iter([question]), timeout=20))
        assert refused.value.code() is Code.RESOURCE_EXHAUSTED
        assert error_info(refused.value).reason == "TOO_MANY_STREAMS"
        assert _retry_delay_s(refused.value) == 1
        held.release()
        assert list(first) == []
        assert [one.sequence for one in stub.CheckStream(iter([question]), timeout=20)] == [1]
    server.stop()


def test_a_loading_server_says_so(config: Config, error_info: ReadInfo) -> None:
    """LOADING, UNAVAILABLE, and health NOT_SERVING, until the store is read."""
    server = Server(config, InProcessHasher())
    seen: list[grpc.RpcError] = []
    health: list[int] = []

    def call_while_loading(_doing: str, _done: int, _in_all: int) -> None:
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            request = match_pb2.CheckHashesRequest(hashes=[_hash()])
            seen.append(_call(channel, "MatchService", "CheckHashes", request.SerializeToString()))
            stub = health_pb2_grpc.HealthStub(channel)
            health.append(stub.Check(health_pb2.HealthCheckRequest(), timeout=3).status)

    server.start(call_while_loading)
    server.stop()
    assert seen[0].code() is Code.UNAVAILABLE
    assert error_info(seen[0]).reason == "LOADING"
    assert set(health) == {health_pb2.HealthCheckResponse.NOT_SERVING}


def test_a_draining_server_says_so(
    server: Server, channel: grpc.Channel, error_info: ReadInfo
) -> None:
    """DRAINING, UNAVAILABLE with RetryInfo."""
    server._lifecycle.drain()
    request = match_pb2.CheckHashesRequest(hashes=[_hash()])
    error = _call(channel, "MatchService", "CheckHashes", request.SerializeToString())
    assert error.code() is Code.UNAVAILABLE
    assert error_info(error).reason == "DRAINING"
    assert _retry_delay_s(error) == 1


@pytest.mark.usefixtures("bank")
def test_a_store_that_another_process_holds_is_unavailable(
    server: Server,
    channel: grpc.Channel,
    config: Config,
    error_info: ReadInfo,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """STORE_UNAVAILABLE, UNAVAILABLE; checks go on from memory."""
    monkeypatch.setattr("imageward_server.store.engine.BUSY_TIMEOUT_MS", 50)
    server._store.close()  # so that the next connection waits no longer than that
    with closing(sqlite3.connect(config.data_dir / FILE_NAME)) as other:
        other.execute("BEGIN IMMEDIATE")
        request = bank_pb2.CreateBankRequest(name="more").SerializeToString()
        raw = channel.unary_unary("/imageward.v1.BankService/CreateBank")
        with pytest.raises(grpc.RpcError) as refused:
            raw(request, timeout=20)
        stub = match_pb2_grpc.MatchServiceStub(channel)
        checked = stub.CheckHashes(match_pb2.CheckHashesRequest(hashes=[_hash()]), timeout=3)
        other.rollback()
    assert refused.value.code() is Code.UNAVAILABLE
    assert error_info(refused.value).reason == "STORE_UNAVAILABLE"
    assert checked.results[0].verdict == match_pb2.VERDICT_ALLOW


@pytest.mark.usefixtures("bank")
def test_a_damaged_store_is_data_loss_with_a_hint(
    server: Server, channel: grpc.Channel, config: Config, error_info: ReadInfo
) -> None:
    """DATA_CORRUPT, DATA_LOSS, and no path in the message."""
    server._store.close()  # so that no connection has the page in its cache
    with closing(sqlite3.connect(config.data_dir / FILE_NAME)) as store:
        store.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = store.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'bank' AND type = 'table'"
        ).fetchone()
        (page_bytes,) = store.execute("PRAGMA page_size").fetchone()
    with (config.data_dir / FILE_NAME).open("r+b") as file:
        file.seek((page - 1) * page_bytes)
        file.write(b"\xff" * page_bytes)
    request = bank_pb2.ListBanksRequest()
    error = _call(channel, "BankService", "ListBanks", request.SerializeToString())
    assert error.code() is Code.DATA_LOSS
    assert error_info(error).reason == "DATA_CORRUPT"
    assert "restore" in (error.details() or "")
    assert str(config.data_dir) not in (error.details() or "")


def test_a_mistake_of_ours_is_told_by_its_request_id_alone(
    server: Server,
    channel: grpc.Channel,
    error_info: ReadInfo,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """INTERNAL: the log has the traceback under the request id, the caller has no more."""

    def fail() -> None:
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr(server._store, "revision", fail)
    request = bank_pb2.GetStatsRequest().SerializeToString()
    error = _call(channel, "BankService", "GetStats", request)
    monkeypatch.undo()
    assert error.code() is Code.INTERNAL
    info = error_info(error)
    assert info.reason == "INTERNAL"
    assert info.metadata["request_id"] in (error.details() or "")
    assert "secret" not in (error.details() or "")
    logged = "".join(capsys.readouterr())
    assert info.metadata["request_id"] in logged
    assert "ZeroDivisionError" in logged


def test_health_of_an_unknown_service_carries_details_too(
    channel: grpc.Channel, error_info: ReadInfo
) -> None:
    """REFUSED, NOT_FOUND, from a service that is not imageward's own."""
    stub = health_pb2_grpc.HealthStub(channel)
    with pytest.raises(grpc.RpcError) as refused:
        stub.Check(health_pb2.HealthCheckRequest(service="none"), timeout=3)
    assert refused.value.code() is Code.NOT_FOUND
    assert error_info(refused.value).reason == "REFUSED"


@pytest.mark.parametrize("method", ["CheckImage", "CheckHashes"])
def test_bytes_that_are_no_message_are_invalid(
    method: str, channel: grpc.Channel, error_info: ReadInfo
) -> None:
    """An undecodable message is the caller's mistake, not an internal error."""
    error = _call(channel, "MatchService", method, b"\xff\xff\xff")
    assert error.code() is Code.INVALID_ARGUMENT
    assert error_info(error).reason == "INVALID_REQUEST"


def test_an_image_over_the_bound_is_refused_by_the_service_not_the_transport(
    channel: grpc.Channel, error_info: ReadInfo
) -> None:
    """A picture of 20,000,001 bytes is told its bound."""
    request = match_pb2.CheckImageRequest(image=bytes(20_000_001))
    error = _call(channel, "MatchService", "CheckImage", request.SerializeToString())
    assert error.code() is Code.INVALID_ARGUMENT
    info = error_info(error)
    assert info.reason == "IMAGE_TOO_LARGE"
    assert "20000000" in info.metadata.values()


def test_a_message_over_the_transport_bound_is_refused(channel: grpc.Channel) -> None:
    """GRPC itself refuses what no service may ever see."""
    raw = channel.unary_unary("/imageward.v1.MatchService/CheckImage")
    with pytest.raises(grpc.RpcError) as refused:
        raw(bytes(MESSAGE_BYTES_MAX + 1), timeout=20)
    assert refused.value.code() is Code.RESOURCE_EXHAUSTED


def test_the_shipped_client_knows_a_message_over_the_transport_bound(client: Client) -> None:
    """RequestTooLarge, from gRPC's own words; it is no overload and is not sent again."""
    hashes = [bytes(32)] * 1_100_000
    with pytest.raises(imageward_client.RequestTooLarge, match="larger than max"):
        client.check_hashes(hashes)


def test_metadata_over_the_transport_bound_is_refused_in_words_that_the_client_knows(
    channel: grpc.Channel,
) -> None:
    """GRPC itself refuses it, without a reason."""
    stub = match_pb2_grpc.MatchServiceStub(channel)
    with pytest.raises(grpc.RpcError) as refused:
        stub.CheckHashes(
            match_pb2.CheckHashesRequest(), metadata=[("x", "x" * METADATA_BYTES_MAX)], timeout=5
        )
    assert isinstance(from_rpc_error(refused.value), imageward_client.RequestTooLarge)


def test_a_deadline_is_kept_while_waiting_for_a_revision(channel: grpc.Channel) -> None:
    """A caller whose deadline passes first is told so by its own gRPC."""
    stub = match_pb2_grpc.MatchServiceStub(channel)
    scope = match_pb2.CheckScope(minimum_revision=1000)
    request = match_pb2.CheckHashesRequest(hashes=[_hash()], scope=scope)
    with pytest.raises(grpc.RpcError) as refused:
        stub.CheckHashes(request, timeout=0.2)
    assert refused.value.code() in (Code.DEADLINE_EXCEEDED, Code.OUT_OF_RANGE)


class _HeldOpen:
    """One question, and then an open stream until it is released."""

    def __init__(self, question: match_pb2.CheckStreamRequest) -> None:
        self._question = question
        self._released = threading.Event()

    def release(self) -> None:
        self._released.set()

    def __iter__(self) -> Iterator[match_pb2.CheckStreamRequest]:
        yield self._question
        self._released.wait(20)


def _retry_delay_s(error: grpc.RpcError) -> int:
    trailing = {item.key: item.value for item in error.trailing_metadata() or ()}
    status = status_pb2.Status.FromString(trailing["grpc-status-details-bin"])
    retry = error_details_pb2.RetryInfo()
    assert status.details[1].Unpack(retry)
    return int(retry.retry_delay.seconds)
