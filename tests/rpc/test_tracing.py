"""Spans from a client to the index, as an OTLP collector on loopback gets them."""

from __future__ import annotations

import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import grpc
import pytest

from imageward_client import Client, HashQuery

if TYPE_CHECKING:
    from conftest import Start

pytest.importorskip("opentelemetry.sdk", reason="the extra `tracing` is not installed")

from opentelemetry.proto.collector.trace.v1 import (
    trace_service_pb2,
    trace_service_pb2_grpc,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

WAIT_S = 60.0
REFERENCE = "canary.person@example.org"
APPLICATION = """
import sys
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from imageward_client import BankNotFound, Client

provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(sys.argv[1], insecure=True)))
trace.set_tracer_provider(provider)
with Client(sys.argv[2], timeout_s=60) as client:
    client.check_image(open(sys.argv[3], "rb").read())
    client.check_hashes([bytes(32)])
    try:
        client.add_entries("nobank", hashes=[bytes(32)], references=["canary.person@example.org"])
    except BankNotFound:
        pass
provider.shutdown()
"""


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.requests: list[trace_service_pb2.ExportTraceServiceRequest] = []

    def Export(  # noqa: N802 - as the contract names it
        self, request: trace_service_pb2.ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        """Keep spans."""
        del context
        self.requests.append(request)
        return trace_service_pb2.ExportTraceServiceResponse()

    @property
    def spans(self) -> list[Span]:
        """All spans so far."""
        return [
            span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


@pytest.fixture
def collector() -> Iterator[tuple[Collector, str]]:
    """Run a collector; return it and its URL."""
    kept = Collector()
    server = grpc.server(ThreadPoolExecutor(4))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(kept, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield kept, f"http://127.0.0.1:{port}"
    server.stop(None).wait()


def _until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline, "it did not come about"
        select.select([], [], [], 0.05)


def _tree(spans: list[Span], name: str) -> tuple[str, list[object]]:
    """Write a span, and those under it in the order of their begin, as nested names."""
    (root,) = (one for one in spans if one.name == name and one.kind == Span.SPAN_KIND_CLIENT)

    def under(span: Span) -> tuple[str, list[object]]:
        children = [one for one in spans if one.parent_span_id == span.span_id]
        assert {one.trace_id for one in children} <= {span.trace_id}
        children.sort(key=lambda one: one.start_time_unix_nano)
        return span.name, [under(one) for one in children]

    return under(root)


def test_a_call_is_followed_from_the_client_to_the_index(
    start: Start, collector: tuple[Collector, str], astronaut: bytes
) -> None:
    """The client's span holds the server's, and that the wait, the decoding and every pass."""
    kept, url = collector
    running = start("--traces-endpoint", url, "--traces-share", "0")
    with Client(running.target, timeout_s=WAIT_S) as client:
        client.create_bank("bank")
        # No client that traces: by the share nothing is told.
        list(client.check_stream([HashQuery(bytes(32))]))
    picture = running.data_dir / "picture"
    picture.write_bytes(astronaut)
    words = [sys.executable, "-c", APPLICATION, url, running.target, str(picture)]
    subprocess.run(words, check=True, timeout=WAIT_S)
    code, said = running.end(signal.SIGTERM)  # which sends what is not sent yet
    assert code == 0, said
    service = "imageward.v1.MatchService"
    searches: list[object] = [
        ("search whole", [("hash whole", [])]),
        ("search trimmed", [("hash trimmed", [])]),
        ("search regions", [("hash coarse", [])]),
        ("search far", []),
        ("search mirrored", []),
        ("search fine", [("hash fine", [])]),
        ("search fine_mirrored", []),
    ]
    image, hashes = f"{service}/CheckImage", f"{service}/CheckHashes"
    steps = [("admission", []), ("decode", []), *searches]
    assert _tree(kept.spans, image) == (image, [(image, steps)])
    steps = [("admission", []), ("search whole", [])]
    assert _tree(kept.spans, hashes) == (hashes, [(hashes, steps)])
    assert [one for one in kept.spans if one.name.endswith(("CreateBank", "CheckStream"))] == []


def test_a_span_says_how_a_call_ended_and_nothing_of_what_was_in_it(
    start: Start, collector: tuple[Collector, str], astronaut: bytes
) -> None:
    """A failed call is told by its status; no reference, name or message is sent."""
    kept, url = collector
    running = start("--traces-endpoint", url)
    picture = running.data_dir / "picture"
    picture.write_bytes(astronaut)
    words = [sys.executable, "-c", APPLICATION, url, running.target, str(picture)]
    subprocess.run(words, check=True, timeout=WAIT_S)
    running.end(signal.SIGTERM)
    (failed,) = (
        one
        for one in kept.spans
        if one.name.endswith("AddEntries") and one.kind == Span.SPAN_KIND_SERVER
    )
    attributes = {one.key: one.value for one in failed.attributes}
    assert attributes["rpc.grpc.status_code"].int_value == grpc.StatusCode.NOT_FOUND.value[0]
    assert failed.status.code == failed.status.STATUS_CODE_ERROR
    sent = b"".join(one.SerializeToString() for one in kept.requests)
    assert [word for word in (REFERENCE.encode(), b"nobank", astronaut[:16]) if word in sent] == []


def test_a_collector_that_is_not_there_holds_nobody_up(start: Start) -> None:
    """Calls are answered, streams that are left early too, and the server ends as asked."""
    running = start("--traces-endpoint", "http://127.0.0.1:1", "--log-format", "json")
    with Client(running.target, timeout_s=WAIT_S) as client:
        client.create_bank("bank")
        for _ in range(3):
            answers = client.check_stream(HashQuery(bytes(32)) for _ in iter(int, 1))
            next(answers)
            answers.close()
        client.check_hashes([bytes(32)])
    code, said = running.end(signal.SIGTERM)
    assert code == 0
    assert "Failed to detach" not in said


def test_nothing_is_loaded_where_nothing_is_traced() -> None:
    """Neither server nor client imports the library by itself."""
    code = "import imageward_client, imageward_server.app, sys; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert [name for name in loaded if name.startswith("opentelemetry")] == []
