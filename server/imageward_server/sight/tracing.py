"""Where the time of a call goes, as spans for an OpenTelemetry collector, where one is named.

    imageward.v1.MatchService/CheckImage     the whole call; its parent is the client's span
      admission                              waiting for a place to compute in
      decode                                 the image opened, in a cell of the cage
      search whole, search trimmed, ...      a pass of the cascade
        hash whole, hash coarse, ...         what the pass needs of the picture, from the cell

A span has names, times and a status. It has nothing of a request and no words of an error.
This is the one file of the server that imports opentelemetry, and only where it is used.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final, Protocol

import grpc
import numpy as np
from numpy.typing import NDArray

from imageward_index.answer import Pass
from imageward_index.fingerprint import Fingerprint
from imageward_index.geometry import Query
from imageward_index.lazy_property import lazy_property
from imageward_index.pdq import OrientedHashes
from imageward_index.picture import Parts
from imageward_server import __version__
from imageward_server.admission import Place
from imageward_server.hasher import Hasher

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Tracer

Span = AbstractContextManager[object]

SERVICE: Final = "imageward-server"
_NOTHING: Final = nullcontext()


class Spans(Protocol):
    """What the parts of a server tell of a call's time."""

    def call(self, path: str, context: grpc.ServicerContext) -> Span:
        """Cover a whole call; what the client sent with it names the parent."""

    def search(self, step: Pass) -> Span:
        """Cover one pass of the cascade."""

    def place(self, place: Place) -> Place:
        """Cover the wait for a place."""

    def hasher(self, hasher: Hasher) -> Hasher:
        """Cover decoding and hashing."""

    def close(self) -> None:
        """Send what is not sent yet."""


class NoSpans:
    """Tells nothing: where no collector is named."""

    def call(self, path: str, context: grpc.ServicerContext) -> Span:
        """Cover nothing."""
        del path, context
        return _NOTHING

    def search(self, step: Pass) -> Span:
        """Cover nothing."""
        del step
        return _NOTHING

    def place(self, place: Place) -> Place:
        """Leave it as it is."""
        return place

    def hasher(self, hasher: Hasher) -> Hasher:
        """Leave it as it is."""
        return hasher

    def close(self) -> None:
        """Do nothing."""


def open_spans(endpoint: str, share: float) -> Spans:
    """Begin to send spans to a collector.

    Args:
        endpoint: URL of an OTLP receiver that speaks gRPC; empty: nothing is told.
        share: of the calls that no client has decided about, how many are told, 0..1.

    Raises:
        OSError: the libraries are not installed.
    """
    if not endpoint:
        return NoSpans()
    try:
        from opentelemetry.exporter.otlp.proto.grpc import trace_exporter  # noqa: PLC0415 - an extra
        from opentelemetry.sdk import resources, trace  # noqa: PLC0415 - the same
        from opentelemetry.sdk.trace import export, sampling  # noqa: PLC0415 - the same
    except ImportError as error:
        raise OSError(
            "traces_endpoint is set and OpenTelemetry is not installed; "
            "install imageward[tracing], or leave it empty"
        ) from error
    provider = trace.TracerProvider(
        sampler=sampling.ParentBased(sampling.TraceIdRatioBased(share)),
        resource=resources.Resource({"service.name": SERVICE, "service.version": __version__}),
        shutdown_on_exit=False,
    )
    exporter = trace_exporter.OTLPSpanExporter(endpoint, insecure=endpoint.startswith("http://"))
    provider.add_span_processor(export.BatchSpanProcessor(exporter))
    return _ToldSpans(provider)


class _ToldSpans:
    """Tells the spans of one process."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("imageward_server", __version__)

    @contextmanager
    def call(self, path: str, context: grpc.ServicerContext) -> Iterator[None]:
        """Cover a whole call; what the client sent with it names the parent."""
        from opentelemetry import trace  # noqa: PLC0415 - an extra
        from opentelemetry.trace.propagation import tracecontext  # noqa: PLC0415 - the same

        sent = {key: value for key, value in context.invocation_metadata() if key in _TRACE_KEYS}
        parent = tracecontext.TraceContextTextMapPropagator().extract(sent)
        service, _, method = path.strip("/").rpartition("/")
        attributes = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": method}
        with self._tracer.start_as_current_span(
            f"{service}/{method}",
            context=parent,
            kind=trace.SpanKind.SERVER,
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            finally:
                _note_status(span, context)

    def search(self, step: Pass) -> Span:
        """Cover one pass of the cascade."""
        return _part(self._tracer, f"search {step.name.lower()}")

    def place(self, place: Place) -> Place:
        """Cover the wait for a place."""

        @contextmanager
        def told() -> Iterator[None]:
            with ExitStack() as held:
                with _part(self._tracer, "admission"):
                    held.enter_context(place())
                yield

        return told

    def hasher(self, hasher: Hasher) -> Hasher:
        """Cover decoding and hashing."""
        return _ToldHasher(hasher, functools.partial(_part, self._tracer))

    def close(self) -> None:
        """Send what is not sent yet."""
        self._provider.shutdown()


class _ToldHasher:
    """A hasher whose every step is a span."""

    def __init__(self, hasher: Hasher, part: Callable[[str], Span]) -> None:
        self._hasher = hasher
        self._part = part

    def start(self) -> None:
        self._hasher.start()

    def close(self) -> None:
        self._hasher.close()

    @contextmanager
    def look(self, image: bytes, deadline: float | None = None) -> Iterator[Parts]:
        with ExitStack() as held:
            with self._part("decode"):
                picture = held.enter_context(self._hasher.look(image, deadline))
            yield _ToldPicture(picture, self._part)

    def fingerprint(self, image: bytes, deadline: float | None = None) -> Fingerprint:
        with self._part("fingerprint"):
            return self._hasher.fingerprint(image, deadline)

    def view(self, image: bytes, deadline: float | None = None) -> NDArray[np.uint8]:
        with self._part("view"):
            return self._hasher.view(image, deadline)


class _ToldPicture:
    """A picture each of whose hashes, when it is first asked for, is a span."""

    def __init__(self, picture: Parts, part: Callable[[str], Span]) -> None:
        self._picture = picture
        self._part = part

    @lazy_property
    def whole(self) -> OrientedHashes:
        with self._part("hash whole"):
            return self._picture.whole

    @lazy_property
    def trimmed(self) -> OrientedHashes | None:
        with self._part("hash trimmed"):
            return self._picture.trimmed

    @lazy_property
    def coarse(self) -> Query:
        with self._part("hash coarse"):
            return self._picture.coarse

    @lazy_property
    def fine(self) -> Query:
        with self._part("hash fine"):
            return self._picture.fine


_TRACE_KEYS: Final = ("traceparent", "tracestate")


def _part(tracer: Tracer, name: str) -> Span:
    return tracer.start_as_current_span(name, record_exception=False, set_status_on_exception=False)


def _note_status(span: Any, context: Any) -> None:  # noqa: ANN401 - types of an extra, and of none
    """Tell how the call ended, as a number and as good or bad."""
    from opentelemetry import trace  # noqa: PLC0415 - an extra

    code: grpc.StatusCode = context.code() or grpc.StatusCode.OK
    span.set_attribute("rpc.grpc.status_code", code.value[0])
    if code is not grpc.StatusCode.OK:
        span.set_status(trace.Status(trace.StatusCode.ERROR))
