"""The methods that a server answers, under the labels that gRPC's dashboards know."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from imageward.v1 import bank_pb2, case_pb2, match_pb2

# A name that no method has could be anything, and anybody could make new ones.
UNKNOWN: Final = ("unary", "unknown", "unknown")

_FILES: Final = (match_pb2, bank_pb2, case_pb2, health_pb2, reflection_pb2)


def method_labels() -> dict[str, tuple[str, str, str]]:
    """List type, service and name of each method, by the path that it is called by."""
    return {
        f"/{service.full_name}/{method.name}": (_type(method), service.full_name, method.name)
        for service in _services()
        for method in service.methods
    }


def code_label(code: grpc.StatusCode) -> str:
    """Write a status as Go's gRPC and so all dashboards do: `OK`, `InvalidArgument`."""
    if code is grpc.StatusCode.OK:
        return "OK"
    # Go, too, spells this one with a single L.
    return "".join(
        word.capitalize() for word in code.name.replace("CANCELLED", "CANCELED").split("_")
    )


def _services() -> Iterator[ServiceDescriptor]:
    for file in _FILES:
        yield from file.DESCRIPTOR.services_by_name.values()


def _type(method: MethodDescriptor) -> str:
    if method.client_streaming:
        return "bidi_stream" if method.server_streaming else "client_stream"
    return "server_stream" if method.server_streaming else "unary"
