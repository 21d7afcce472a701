"""One function a call about an upload, or about the server's health.

Each says what is sent and how its answer is read. Both clients are made of
these, so that they cannot drift apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imageward.v1 import match_pb2
from imageward_client import _convert as convert
from imageward_client import _health, _rpc
from imageward_client._answers import CheckAnswer, HashesAnswer
from imageward_client._call import Call, bounded, expect_count
from imageward_client._types import HashLike, HashQuery, ImageQuery, Scope

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imageward_client._types import ServingStatus


def check_image(data: bytes, scope: Scope) -> Call[match_pb2.CheckImageResponse, CheckAnswer]:
    """Returns the call that checks one upload."""
    return Call(
        _rpc.CHECK_IMAGE,
        match_pb2.CheckImageRequest(image=bounded(data), scope=convert.scope_message(scope)),
        convert.check_answer,
    )


def check_hashes(
    hashes: Sequence[HashLike], scope: Scope
) -> Call[match_pb2.CheckHashesResponse, HashesAnswer]:
    """Returns the call that checks a batch of hashes."""

    def read(response: match_pb2.CheckHashesResponse) -> HashesAnswer:
        expect_count(len(hashes), len(response.results))
        return HashesAnswer(tuple(map(convert.check_result, response.results)), response.revision)

    return Call(
        _rpc.CHECK_HASHES,
        match_pb2.CheckHashesRequest(
            hashes=map(convert.hash_message, hashes), scope=convert.scope_message(scope)
        ),
        read,
    )


def stream_request(
    sequence: int, query: ImageQuery | HashQuery, scope: Scope
) -> match_pb2.CheckStreamRequest:
    """Returns one question of a stream, in its own scope or else the stream's."""
    request = match_pb2.CheckStreamRequest(
        sequence=sequence, scope=convert.scope_message(query.scope or scope)
    )
    if isinstance(query, ImageQuery):
        request.image = bounded(query.image)
    else:
        request.hash.CopyFrom(convert.hash_message(query.hash))
    return request


def status(service: str) -> Call[Any, ServingStatus]:
    """Returns the call that asks the standard health service."""
    return Call(
        _health.HEALTH_CHECK,
        _health.HealthCheckRequest(service=service),
        lambda response: convert.serving_status(response.status),
    )
