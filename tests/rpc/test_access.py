"""Who may call what: every method of every service, with every role and with none."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from imageward.v1 import bank_pb2, case_pb2, match_pb2
from imageward_server.access import Credential, Role, hash_secret, new_secret
from imageward_server.access.identity import ROLES
from imageward_server.access.roles import TABLE
from imageward_server.app import Server
from imageward_server.config import Config
from imageward_server.hasher import InProcessHasher

ReadInfo = Callable[[grpc.RpcError], error_details_pb2.ErrorInfo]
SERVED = (match_pb2, bank_pb2, case_pb2, health_pb2, reflection_pb2)
METHODS: dict[str, MethodDescriptor] = {
    f"/{service.full_name}/{method.name}": method
    for module in SERVED
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
REFUSED = {"UNAUTHENTICATED", "PERMISSION_DENIED"}
PATIENCE_S = 60
# Health may be asked by anybody, and nothing else.
OPEN = {f"/grpc.health.v1.Health/{name}" for name in ("Check", "Watch", "List")}
SECRETS = {str(role): new_secret() for role in ROLES}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run a server with a credential of every role, and some that are kept short."""
    credentials = {
        name: Credential(role=Role(name), secret_hash=hash_secret(secret))
        for name, secret in SECRETS.items()
    }
    third = Credential(
        role=Role.FRONTEND,
        secret_hash=hash_secret(SECRETS["frontend"]),
        methods=frozenset({"CheckHashes"}),
    )
    config = Config(
        data_dir=tmp_path_factory.mktemp("guarded"),
        listen="127.0.0.1:0",
        insecure=True,
        credentials={
            **credentials,
            "third": third,
            "slow": third.model_copy(update={"calls_per_s": 0.001}),
            "gone": third,
        },
        revoked=frozenset({"gone"}),
    )
    server = Server(config, InProcessHasher())
    server.start(lambda *_progress: None)
    yield server
    server.stop()


@pytest.fixture
def call(guarded: Server, error_info: ReadInfo) -> Iterator[Callable[[str, str], str]]:
    """Return a way to call a method with a token; it tells the reason of a refusal."""
    with grpc.insecure_channel(f"127.0.0.1:{guarded.port}") as channel:
        yield lambda method, token: _call(channel, method, token, error_info)


def _call(channel: grpc.Channel, method: str, token: str, error_info: ReadInfo) -> str:
    """Send one empty message, and leave; return the refusal's reason, or OK."""
    metadata = [("authorization", f"Bearer {token}")] if token else []
    responses = channel.stream_stream(method)(iter([b""]), metadata=metadata, timeout=PATIENCE_S)
    try:
        next(iter(responses))
    except grpc.RpcError as error:
        # Health/List is in the standard contract, and not in the servicer.
        is_missing = error.code() is grpc.StatusCode.UNIMPLEMENTED
        return "UNIMPLEMENTED" if is_missing else error_info(error).reason
    finally:
        responses.cancel()
    return "OK"


def _token(name: str, role: str = "frontend") -> str:
    return f"{name}.{SECRETS[role]}"


def test_every_method_has_a_row() -> None:
    """And every row is of a method that is served."""
    assert set(TABLE) == set(METHODS)


def test_the_server_serves_no_other_service(guarded: Server) -> None:
    """What the walk walks over is what the server says it serves."""
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    metadata = [("authorization", f"Bearer {_token('operator', 'operator')}")]
    with grpc.insecure_channel(f"127.0.0.1:{guarded.port}") as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        (answer,) = stub.ServerReflectionInfo(iter([request]), metadata=metadata)
    served = {service.name for service in answer.list_services_response.service}
    assert served == {method.containing_service.full_name for method in METHODS.values()}


@pytest.mark.parametrize("method", METHODS)
def test_every_method_with_every_role(call: Callable[[str, str], str], method: str) -> None:
    """Those whom the table names get past the door, and no others."""
    let_in = {role for role in ROLES if call(method, _token(role, role)) not in REFUSED}
    assert {role for role in TABLE[method] if role in ROLES} == let_in


@pytest.mark.parametrize("method", METHODS)
def test_no_method_but_health_without_a_credential(
    call: Callable[[str, str], str], method: str
) -> None:
    """Neither with none at all, nor with what is nobody's."""
    tokens = ["", "frontend", "frontend.", "frontend.wrong", ".", "stranger.wrong", _token("gone")]
    reasons = {call(method, token) for token in tokens}
    assert (reasons & REFUSED) == (set() if method in OPEN else {"UNAUTHENTICATED"})
    assert method in OPEN or reasons == {"UNAUTHENTICATED"}


def test_a_third_party_may_be_given_checks_alone(call: Callable[[str, str], str]) -> None:
    """It may call what its credential names, of what its role may."""
    allowed = {method for method in METHODS if call(method, _token("third")) not in REFUSED}
    assert allowed == {"/imageward.v1.MatchService/CheckHashes", *OPEN}


def test_a_credential_has_its_own_rate(call: Callable[[str, str], str]) -> None:
    """One caller's rate is not another's, though both come from one address."""
    method = "/imageward.v1.MatchService/CheckHashes"
    assert [call(method, _token("slow")) for _ in range(2)] == ["INVALID_BATCH", "RATE_LIMITED"]
    assert call(method, _token("third")) == "INVALID_BATCH"
