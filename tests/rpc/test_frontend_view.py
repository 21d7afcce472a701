"""What a frontend can learn: verdict, opaque ids and revision; never a distance or a hash."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator

import grpc
import pytest
from google.protobuf.descriptor import Descriptor, MethodDescriptor
from google.protobuf.message import Message
from google.rpc import error_details_pb2

from imageward.v1 import bank_pb2, bank_pb2_grpc, case_pb2, match_pb2, match_pb2_grpc
from imageward.v1.hash_pb2 import PdqHash
from imageward_server.access import Credential, Role, hash_secret, new_secret
from imageward_server.access.roles import TABLE
from imageward_server.app import Server
from imageward_server.config import Config

ReadInfo = Callable[[grpc.RpcError], error_details_pb2.ErrorInfo]
METHODS: dict[str, MethodDescriptor] = {
    f"/{service.full_name}/{method.name}": method
    for module in (match_pb2, bank_pb2, case_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
# Every field of every answer, and why a frontend may know it.
MAY_KNOW = {
    "CheckImageResponse.result": "the answer",
    "CheckImageResponse.revision": "how fresh it is",
    "CheckHashesResponse.results": "the answers",
    "CheckHashesResponse.revision": "how fresh they are",
    "CheckStreamResponse.sequence": "its own number",
    "CheckStreamResponse.result": "the answer",
    "CheckStreamResponse.refusal": "why there is none",
    "CheckStreamResponse.revision": "how fresh it is",
    "CheckResult.verdict": "what it is for",
    "CheckResult.entry_ids": "opaque, to report what was stopped",
    "CheckResult.logged_entry_ids": "opaque, to report what was not",
    "CheckResult.quality": "of its own picture",
    "CheckResult.low_quality": "of its own picture",
    "CheckResult.completeness": "whether to ask again",
    "Refusal.reason": "what to do",
    "Refusal.message": "what to do",
    "Refusal.metadata": "bounds and sizes of its own request",
    "MetadataEntry.key": "of the same",
    "MetadataEntry.value": "of the same",
    "ReportPostedResponse.case_number": "of the case that it has opened",
    "AppealEntryResponse.case_number": "of the case that it has opened",
}
SECRET = new_secret()


def _fields(message: Descriptor) -> Iterator[str]:
    """Name every field of a message, and of what it holds."""
    for field in message.fields:
        yield f"{message.name}.{field.name}"
        if field.message_type is not None:
            yield from _fields(field.message_type)


def test_every_field_that_a_frontend_may_be_sent_is_known() -> None:
    """A new field of an answer is refused here until somebody has said why it may be known."""
    sent = {
        name
        for path, method in METHODS.items()
        if Role.FRONTEND in TABLE[path]
        for name in _fields(method.output_type)
    }
    assert sent == set(MAY_KNOW)


@pytest.fixture
def config(config: Config) -> Config:
    """Return a configuration with a frontend and those who bank."""
    secret_hash = hash_secret(SECRET)
    roles = (Role.FRONTEND, Role.REVIEWER, Role.OPERATOR)
    credentials = {str(role): Credential(role=role, secret_hash=secret_hash) for role in roles}
    return config.model_copy(update={"credentials": credentials})


def by(role: str) -> list[tuple[str, str]]:
    """Return the metadata of a call by a role."""
    return [("authorization", f"Bearer {role}.{SECRET}")]


@pytest.fixture
def entry_hash(server: Server, channel: grpc.Channel, astronaut: bytes) -> bytes:
    """Bank a photograph; return its hash, 32 bytes, as a reviewer sees it."""
    del server
    stub = bank_pb2_grpc.BankServiceStub(channel)
    stub.CreateBank(bank_pb2.CreateBankRequest(name="bank"), metadata=by("operator"))
    new = bank_pb2.NewEntry(image=astronaut)
    request = bank_pb2.AddEntriesRequest(bank="bank", request_id="1", entries=[new])
    entry_id = stub.AddEntries(request, metadata=by("reviewer")).results[0].entry_id
    shown = stub.GetEntry(bank_pb2.GetEntryRequest(entry_id=entry_id), metadata=by("reviewer"))
    code: bytes = shown.entry.hash.pdq
    return code


def _written(code: bytes) -> list[bytes]:
    """Write a hash in every way that it might appear."""
    return [
        code,
        code.hex().encode(),
        code[::-1].hex().encode(),
        base64.b64encode(code),
        base64.urlsafe_b64encode(code),
    ]


def _near(code: bytes) -> PdqHash:
    """Return a hash 3 bits away, which matches and is not the entry's."""
    return PdqHash(pdq=bytes([code[0] ^ 0b111]) + code[1:], quality=100)


def test_no_answer_to_a_frontend_has_a_hash_or_a_distance(
    entry_hash: bytes, channel: grpc.Channel, astronaut: bytes
) -> None:
    """What blocks 3 bits away is answered as what blocks at 0, and without the entry's hash."""
    stub = match_pb2_grpc.MatchServiceStub(channel)
    near, same = _near(entry_hash), PdqHash(pdq=entry_hash, quality=100)
    question = match_pb2.CheckStreamRequest(hash=near)
    request = match_pb2.CheckHashesRequest(hashes=[near, same])
    hashes = stub.CheckHashes(request, metadata=by("frontend"))
    image = stub.CheckImage(match_pb2.CheckImageRequest(image=astronaut), metadata=by("frontend"))
    answers: list[Message] = [hashes, image]
    answers += stub.CheckStream(iter([question]), metadata=by("frontend"))
    assert hashes.results[0] == hashes.results[1]
    assert image.result.verdict == hashes.results[0].verdict == match_pb2.VERDICT_BLOCK
    for answer in answers:
        held = answer.SerializeToString() + str(answer).encode()
        assert [one for one in _written(entry_hash) if one in held] == []


@pytest.mark.parametrize("method", METHODS)
def test_no_refusal_to_a_frontend_has_a_hash(
    entry_hash: bytes, channel: grpc.Channel, error_info: ReadInfo, method: str
) -> None:
    """Whatever it asks for, with a hash near the entry's, is answered without the entry's."""
    asked = METHODS[method].input_type
    request = bank_pb2.FindMatchesRequest(hash=_near(entry_hash)).SerializeToString()
    call = channel.stream_stream(method)
    responses = call(iter([request]), metadata=by("frontend"), timeout=60)
    held = b""
    try:
        held = b"".join(responses)
    except grpc.RpcError as error:
        info = error_info(error)
        may = Role.FRONTEND in TABLE[method]
        assert (info.reason == "PERMISSION_DENIED") == (not may), asked.full_name
        held = (error.details() or "").encode() + info.SerializeToString()
    assert [one for one in _written(entry_hash) if one in held] == []
