"""Health on an address of its own: for probes, and nothing else."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from imageward.v1 import match_pb2, match_pb2_grpc
from imageward_server.app import Server
from imageward_server.config import Config

WAIT_S = 60.0


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Return a configuration with a port for probes."""
    return Config(
        data_dir=tmp_path / "data", listen="127.0.0.1:0", insecure=True, health_listen="127.0.0.1:0"
    )


def test_a_probe_learns_health_and_can_ask_nothing_else(server: Server) -> None:
    """It hears SERVING; a check of a hash is unknown there."""
    assert server.health_port is not None
    with grpc.insecure_channel(f"127.0.0.1:{server.health_port.port}") as channel:
        health = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service="imageward.v1.MatchService")
        answer = health.Check(request, timeout=WAIT_S)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.RpcError) as refused:
            match_pb2_grpc.MatchServiceStub(channel).CheckHashes(
                match_pb2.CheckHashesRequest(), timeout=WAIT_S
            )
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_probe_learns_that_the_server_is_about_to_stop(server: Server) -> None:
    """As balancers do, before the port is closed."""
    assert server.health_port is not None
    with grpc.insecure_channel(f"127.0.0.1:{server.health_port.port}") as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(
            health_pb2.HealthCheckRequest(), timeout=WAIT_S
        )
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        server._lifecycle.announce_drain()
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
