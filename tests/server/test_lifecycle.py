"""Loading, serving, draining, and a health that is in step with them."""

from __future__ import annotations

from typing import Any

import pytest
from grpc_health.v1 import health_pb2

from imageward_server.errors import Draining, Loading
from imageward_server.lifecycle import SERVICES, Lifecycle

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
EVERY_NAME = ("", *(f"imageward.v1.{name}Service" for name in ("Match", "Bank", "Case")))


def health(lifecycle: Lifecycle) -> set[int]:
    """Ask the health service about the server and each of its services."""
    context: Any = None
    return {
        lifecycle.health.Check(health_pb2.HealthCheckRequest(service=name), context).status
        for name in EVERY_NAME
    }


def test_the_services_are_named_as_the_contract_names_them() -> None:
    """Balancers ask by these names."""
    assert EVERY_NAME[1:] == SERVICES


def test_a_loading_server_refuses_and_says_so() -> None:
    """Before the store is read, no check is answered: `no match` would be a lie."""
    lifecycle = Lifecycle()
    assert health(lifecycle) == {NOT_SERVING}
    with pytest.raises(Loading):
        lifecycle.admit()


def test_a_serving_server_admits() -> None:
    """Once it serves, calls come in and health says so."""
    lifecycle = Lifecycle()
    lifecycle.serve()
    lifecycle.admit()
    assert health(lifecycle) == {SERVING}


def test_a_drain_is_announced_before_it_begins() -> None:
    """Health says NOT_SERVING while calls are still answered; then they are refused."""
    lifecycle = Lifecycle()
    lifecycle.serve()
    lifecycle.announce_drain()
    assert health(lifecycle) == {NOT_SERVING}
    lifecycle.admit()
    lifecycle.drain()
    assert health(lifecycle) == {NOT_SERVING}
    with pytest.raises(Draining):
        lifecycle.admit()
