"""The standard health and reflection services."""

from __future__ import annotations

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from imageward_server.app import Server
from imageward_server.config import Config
from imageward_server.hasher import InProcessHasher
from imageward_server.lifecycle import SERVICES

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.mark.parametrize("service", ["", *SERVICES])
def test_each_service_has_a_health_of_its_own(service: str, channel: grpc.Channel) -> None:
    """A serving server says so of itself and of each service."""
    stub = health_pb2_grpc.HealthStub(channel)
    assert stub.Check(health_pb2.HealthCheckRequest(service=service)).status == SERVING


def test_watch_tells_each_change(config: Config) -> None:
    """A watcher sees NOT_SERVING while loading, SERVING, and NOT_SERVING at the drain."""
    server = Server(config, InProcessHasher())
    server.listen()
    service = health_pb2.HealthCheckRequest(service=SERVICES[0])
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        watched = health_pb2_grpc.HealthStub(channel).Watch(service, timeout=20)
        seen = [next(watched).status]
        server.load(lambda *_progress: None)
        server.serve()
        seen.append(next(watched).status)
        server._lifecycle.announce_drain()
        seen.append(next(watched).status)
        watched.cancel()
    server.stop()
    assert seen == [NOT_SERVING, SERVING, NOT_SERVING]


def test_reflection_lists_every_service(channel: grpc.Channel) -> None:
    """Tools without the .proto files find the contract."""
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    (answer,) = stub.ServerReflectionInfo(iter([request]), timeout=5)
    listed = {service.name for service in answer.list_services_response.service}
    assert listed == {
        *SERVICES,
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }
