"""What happens around every call: admission, decoding, and errors with ErrorInfo.

gRPC answers an unknown method, an undecodable message or an escaped exception by
itself and without details. Here each of them becomes an exception of the domain
first, and every exception a status from the one table in `status`.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NoReturn, TypeAlias

import grpc
import structlog
from google.protobuf.message import DecodeError

from imageward_index.errors import ImagewardError
from imageward_server.errors import InvalidRequest, TooManyStreams, UnknownMethod
from imageward_server.lifecycle import SERVICES, Lifecycle
from imageward_server.status import Status, foreign_status, internal_status, status_of

log = structlog.get_logger(__name__)

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Context: TypeAlias = grpc.ServicerContext
# Threads beyond the streams that are served, to refuse the next ones.
STREAM_THREADS_SPARE = 4


class CallInterceptor(grpc.ServerInterceptor):
    """Wraps every handler of the server.

    A stream holds a thread for as long as it is open, so streams have threads of
    their own, and a bound: they cannot take the threads of single calls.

    Args:
        lifecycle: says whether calls are taken.
        streams_max: streams open at once.
    """

    def __init__(self, lifecycle: Lifecycle, streams_max: int) -> None:
        self._lifecycle = lifecycle
        self._streams_max = streams_max
        self._stream_places = threading.BoundedSemaphore(streams_max)
        self._stream_threads = ThreadPoolExecutor(
            streams_max + STREAM_THREADS_SPARE, thread_name_prefix="stream"
        )

    def close(self) -> None:
        """Let the streams' threads end."""
        self._stream_threads.shutdown(wait=False, cancel_futures=True)

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Handler | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """Find the handler of a call, and wrap it."""
        handler = continuation(handler_call_details)
        if handler is None:
            return grpc.stream_stream_rpc_method_handler(_refuse_unknown)
        service = handler_call_details.method.rpartition("/")[0].lstrip("/")
        admit = self._lifecycle.admit if service in SERVICES else _admit_always
        if handler.unary_unary is not None:
            return self._wrap_unary(handler, admit)
        if handler.stream_stream is not None:
            return self._wrap_stream(handler, admit)
        return handler

    def _wrap_unary(self, handler: Handler, admit: Callable[[], None]) -> Handler:
        behavior, decode = handler.unary_unary, handler.request_deserializer
        assert behavior is not None

        def call(message: bytes, context: Context) -> Any:  # noqa: ANN401 - any message
            with _answered(context):
                admit()
                response = behavior(_decode(decode, message), context)
                _complete(context)
                return response

        return grpc.unary_unary_rpc_method_handler(
            call, response_serializer=handler.response_serializer
        )

    def _wrap_stream(self, handler: Handler, admit: Callable[[], None]) -> Handler:
        behavior, decode = handler.stream_stream, handler.request_deserializer
        assert behavior is not None

        def call(messages: Iterator[bytes], context: Context) -> Iterator[Any]:
            with _answered(context), self._one_stream():
                admit()
                yield from behavior((_decode(decode, message) for message in messages), context)

        call.experimental_thread_pool = self._stream_threads  # type: ignore[attr-defined]
        return grpc.stream_stream_rpc_method_handler(
            call, response_serializer=handler.response_serializer
        )

    @contextmanager
    def _one_stream(self) -> Iterator[None]:
        if not self._stream_places.acquire(blocking=False):
            raise TooManyStreams(
                f"{self._streams_max} streams are open, the most this server serves; "
                "use single calls, or try again in a moment",
                streams_max=self._streams_max,
            )
        try:
            yield
        finally:
            self._stream_places.release()


@contextmanager
def _answered(context: Context) -> Iterator[None]:
    """Turn whatever escapes from a handler into a status with details."""
    try:
        yield
    except ImagewardError as error:
        _abort(context, status_of(error))
    except Exception:
        if context.code() is not None:  # type: ignore[attr-defined]
            raise  # gRPC's own way to end an aborted call
        request_id = uuid.uuid4().hex
        log.exception("internal error", request_id=request_id)
        _abort(context, internal_status(request_id))


def _complete(context: Context) -> None:
    """Give details to a refusal by a service that is not imageward's own."""
    code = context.code()  # type: ignore[attr-defined]
    if code is not None and code is not grpc.StatusCode.OK:
        _abort(context, foreign_status(code, f"refused: {code.value[1]}"))


def _decode(decode: Callable[[bytes], Any] | None, message: bytes) -> Any:  # noqa: ANN401 - any message
    assert decode is not None
    try:
        return decode(message)
    except DecodeError as error:
        raise InvalidRequest(
            f"the message of {len(message)} bytes is not of this method's type; "
            "compare the contract's version",
            bytes=len(message),
        ) from error


def _refuse_unknown(_messages: Iterator[bytes], context: Context) -> NoReturn:
    error = UnknownMethod("no such service or method here; the reflection service lists them")
    _abort(context, status_of(error))


def _abort(context: Context, status: Status) -> NoReturn:
    context.abort_with_status(status)
    raise AssertionError("abort_with_status raises")


def _admit_always() -> None:
    """Health and reflection answer in every phase."""
