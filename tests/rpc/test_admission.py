"""Admission seen from outside: what is refused, with what details, and what is let in."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from imageward.v1 import bank_pb2, bank_pb2_grpc, hash_pb2, match_pb2, match_pb2_grpc
from imageward.v1.error_pb2 import ErrorReason
from imageward_server.app import Server
from imageward_server.config import Config

ReadInfo = Callable[[grpc.RpcError], error_details_pb2.ErrorInfo]
CHECK = match_pb2.CheckHashesRequest(hashes=[hash_pb2.PdqHash(pdq=bytes(32))])
CHECK_PATH = "/imageward.v1.MatchService/CheckHashes"
TIMEOUT_S = 20.0


@contextmanager
def served(config: Config, **settings: object) -> Iterator[grpc.Channel]:
    """Run a server with some settings, and connect to it."""
    server = Server(config.model_copy(update=settings))
    server.start(lambda *_progress: None)
    try:
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            yield channel
    finally:
        server.stop()


@contextmanager
def crowded(channel: grpc.Channel) -> Iterator[grpc.RpcError]:
    """Open calls whose message does not come, until a check is refused; yield how it was."""
    given_up = threading.Event()

    def silence() -> Iterator[bytes]:
        given_up.wait(TIMEOUT_S)
        yield from ()

    open_call = channel.stream_unary(CHECK_PATH)
    futures = [open_call.future(silence(), timeout=TIMEOUT_S)]
    while (error := attempt(channel)) is None:
        futures.append(open_call.future(silence(), timeout=TIMEOUT_S))
    yield error
    for future in futures:
        future.cancel()
    given_up.set()


def check(channel: grpc.Channel) -> None:
    """Check a hash."""
    match_pb2_grpc.MatchServiceStub(channel).CheckHashes(CHECK, timeout=TIMEOUT_S)


def until_refused(channel: grpc.Channel) -> grpc.RpcError:
    """Check hashes until a check is refused; return how."""
    while (error := attempt(channel)) is None:
        pass
    return error


def until_admitted(channel: grpc.Channel) -> None:
    """Check hashes until a check is answered."""
    while (error := attempt(channel)) is not None:
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def attempt(channel: grpc.Channel) -> grpc.RpcError | None:
    """Check a hash; return the error, if it ends with one."""
    try:
        check(channel)
    except grpc.RpcError as error:
        return error
    return None


def retry_s(error: grpc.RpcError) -> float:
    """Read RetryInfo."""
    trailing = {item.key: item.value for item in error.trailing_metadata() or ()}
    status = status_pb2.Status.FromString(trailing["grpc-status-details-bin"])
    retry = error_details_pb2.RetryInfo()
    assert status.details[1].Unpack(retry)
    return float(retry.retry_delay.ToTimedelta().total_seconds())


def test_a_call_without_a_thread_is_refused(config: Config, error_info: ReadInfo) -> None:
    """OVERLOADED, RESOURCE_EXHAUSTED with RetryInfo; once there is a thread, it is answered."""
    with served(config, call_threads=1) as channel:
        with crowded(channel) as error:
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert error_info(error).reason == "OVERLOADED"
            assert "threads" in (error.details() or "")
            assert retry_s(error) == 0.5
        until_admitted(channel)


def test_a_caller_with_too_many_calls_is_refused_and_health_is_not(
    config: Config, error_info: ReadInfo
) -> None:
    """Half of the calls may be one caller's; health and withdrawals still find room."""
    with served(config, call_threads=8) as channel, crowded(channel) as error:
        info = error_info(error)
        assert (info.reason, info.metadata["held_max"]) == ("OVERLOADED", "4")
        health = health_pb2_grpc.HealthStub(channel)
        answer = health.Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        bank = bank_pb2_grpc.BankServiceStub(channel)
        with pytest.raises(grpc.RpcError) as missing:
            bank.WithdrawEntries(
                bank_pb2.WithdrawEntriesRequest(entry_ids=["0000800000000001"]), timeout=TIMEOUT_S
            )
        assert missing.value.code() is grpc.StatusCode.NOT_FOUND


def test_a_caller_over_its_rate_is_refused(config: Config, error_info: ReadInfo) -> None:
    """RATE_LIMITED, RESOURCE_EXHAUSTED with the time until the next call; health has no rate."""
    with served(config, caller_calls_per_s=0.1) as channel:
        check(channel)
        error = until_refused(channel)
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert error_info(error).reason == "RATE_LIMITED"
        assert 0 < retry_s(error) <= 10
        for _ in range(3):
            health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)


def test_a_question_over_the_rate_is_refused_and_the_stream_stays_open(config: Config) -> None:
    """Each question of a stream counts as a call does."""
    with served(config, caller_calls_per_s=0.1) as channel:
        hashes = [match_pb2.CheckStreamRequest(hash=CHECK.hashes[0])] * 3
        stub = match_pb2_grpc.MatchServiceStub(channel)
        answers = list(stub.CheckStream(iter(hashes), timeout=TIMEOUT_S))
        limited = ErrorReason.ERROR_REASON_RATE_LIMITED
        assert [one.refusal.reason for one in answers] == [0, limited, limited]


def test_a_call_without_its_message_is_told_so(channel: grpc.Channel, error_info: ReadInfo) -> None:
    """INVALID_REQUEST, where gRPC alone would say UNIMPLEMENTED."""
    with pytest.raises(grpc.RpcError) as refused:
        channel.stream_unary(CHECK_PATH)(iter(()), timeout=TIMEOUT_S)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error_info(refused.value).reason == "INVALID_REQUEST"


def test_a_call_without_a_deadline_waits_for_a_revision_no_longer_than_the_default(
    config: Config, error_info: ReadInfo
) -> None:
    """REVISION_NOT_REACHED after most of `deadline_s`."""
    with served(config, deadline_s=0.2) as channel:
        scope = match_pb2.CheckScope(minimum_revision=1000)
        request = match_pb2.CheckHashesRequest(hashes=CHECK.hashes, scope=scope)
        with pytest.raises(grpc.RpcError) as refused:
            match_pb2_grpc.MatchServiceStub(channel).CheckHashes(request)
        assert error_info(refused.value).reason == "REVISION_NOT_REACHED"
