"""What the tests over a socket share."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from imageward_client import Client
from imageward_server.app import Server


@pytest.fixture
def channel(server: Server) -> Iterator[grpc.Channel]:
    """Connect without the shipped client, to send what it would not."""
    options = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(f"127.0.0.1:{server.port}", options=options) as connected:
        yield connected


@pytest.fixture
def astronaut(photograph: Callable[[str], bytes]) -> bytes:
    """Return a photograph."""
    return photograph("astronaut.png")


@pytest.fixture
def banked(client: Client, astronaut: bytes) -> str:
    """Bank the photograph in `bank`; return its entry's id."""
    client.create_bank("bank")
    entry_id = client.add_entries("bank", images=[astronaut]).results[0].entry_id
    assert entry_id is not None
    return entry_id


@pytest.fixture(scope="session")
def error_info() -> Callable[[grpc.RpcError], error_details_pb2.ErrorInfo]:
    """Return a reader of the ErrorInfo that every refusal must carry."""

    def read(error: grpc.RpcError) -> error_details_pb2.ErrorInfo:
        trailing = {item.key: item.value for item in error.trailing_metadata() or ()}
        assert "grpc-status-details-bin" in trailing, error
        status = status_pb2.Status.FromString(trailing["grpc-status-details-bin"])
        assert status.code == error.code().value[0]
        info = error_details_pb2.ErrorInfo()
        assert status.details[0].Unpack(info)
        assert info.domain == "imageward"
        return info

    return read
