"""What happens around every call: access, admission, decoding, and errors with ErrorInfo.

gRPC answers an unknown method, an undecodable message or an escaped exception by
itself and without details. Here each of them becomes an exception of the domain
first, and every exception a status from the one table in `status`.

Every handler is given to gRPC as one that reads a stream of messages, also where the
contract has a single one: gRPC then calls it when the headers are there, and it is
admitted or refused before its message is received.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple, NoReturn, TypeAlias

import grpc
import structlog
from google.protobuf.message import DecodeError

from imageward_index.errors import ImagewardError
from imageward_server.access import Access
from imageward_server.access.identity import current_identity
from imageward_server.admission import Admission, Call, House, Visit
from imageward_server.calls.caller import caller_of
from imageward_server.calls.inline import InlineExecutor
from imageward_server.calls.kinds import Kind, kind_of
from imageward_server.errors import InvalidRequest, Overloaded, TooManyStreams, UnknownMethod
from imageward_server.lifecycle import Lifecycle
from imageward_server.sight.meters import Meters, Timed
from imageward_server.sight.tracing import Spans
from imageward_server.status import Status, foreign_status, internal_status, status_of

log = structlog.get_logger(__name__)

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Context: TypeAlias = grpc.ServicerContext
Decode: TypeAlias = Callable[[bytes], Any]
# More than any deadline: gRPC's way to say that a call has none.
NO_DEADLINE_S = 1e9

NO_THREAD = Overloaded(
    "the server has as many calls as it has threads; "
    "send this one again after the time that RetryInfo says, or to another server",
    retry_after_s=0.5,
)
NO_STREAM = TooManyStreams(
    "as many streams are open as this server serves; use single calls, or try again in a moment"
)


class CallInterceptor(grpc.ServerInterceptor):
    """Wraps every handler of the server.

    A stream holds a thread for as long as it is open, so streams, and watches of health,
    have threads of their own, and a bound: they cannot take the threads of single calls.

    Args:
        lifecycle: says whether calls are taken.
        admission: says which.
        access: says whose.
        deadline_s: what a call without a deadline gets, and each question of a stream.
        meters: counts calls, and why they are refused.
        spans: tells how long they take.
    """

    def __init__(
        self,
        lifecycle: Lifecycle,
        admission: Admission,
        access: Access,
        deadline_s: float,
        meters: Meters,
        spans: Spans,
    ) -> None:
        self._lifecycle = lifecycle
        self._admission = admission
        self._access = access
        self._deadline_s = deadline_s
        self._meters = meters
        self._spans = spans
        self._stream_threads = ThreadPoolExecutor(admission.streams.calls_max, "stream")
        self._watch_threads = ThreadPoolExecutor(admission.watches.calls_max, "watch")
        inline = InlineExecutor()
        self._no_thread = _refusing(NO_THREAD, inline)
        self._no_stream = _refusing(NO_STREAM, inline)
        self._unknown = _refusing(
            UnknownMethod("no such service or method here; the reflection service lists them"),
            inline,
        )

    def close(self) -> None:
        """Let the threads end."""
        self._stream_threads.shutdown(wait=False, cancel_futures=True)
        self._watch_threads.shutdown(wait=False, cancel_futures=True)
        self._admission.close()

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Handler | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """Find the handler of a call, and wrap it if there is room for the call."""
        handler = continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None:
            return self._refuse(self._unknown, None)
        kind = kind_of(method)
        if handler.unary_unary is not None:
            house, refusal, wrap = self._admission.calls, self._no_thread, self._wrap_unary
        elif handler.unary_stream is not None:
            house, refusal, wrap = self._admission.watches, self._no_stream, self._wrap_watch
        else:
            house, refusal, wrap = self._admission.streams, self._no_stream, self._wrap_stream
        if not house.door.enter(kind.priority):
            return self._refuse(refusal, method)
        return wrap(handler, method, kind)

    def _refuse(self, refusal: _Refusal, method: str | None) -> Handler:
        self._meters.method(method).refuse(refusal.code)
        self._meters.refused(refusal.error)
        return refusal.handler

    def _wrap_unary(self, handler: Handler, method: str, kind: Kind) -> Handler:
        behavior, decode = handler.unary_unary, handler.request_deserializer
        assert behavior is not None
        assert decode is not None
        meter = self._meters.method(method)

        def call(messages: Iterator[bytes], context: Context) -> Any:  # noqa: ANN401 - any message
            visit = self._visit(self._admission.calls, method, kind, context)
            with (
                meter.begin(context) as timed,
                self._spans.call(method, context),
                self._answered(context),
                visit,
            ):
                self._access.admit(method, current_identity.get())
                self._admit(visit, kind, rated=kind.is_ours)
                request = _receive(messages, decode, visit, timed)
                if kind.refine is not None:
                    visit.call.priority = kind.refine(request)
                response = behavior(request, context)
                _complete(context)
                timed.sent()
                return response

        return grpc.stream_unary_rpc_method_handler(
            call, response_serializer=handler.response_serializer
        )

    def _wrap_watch(self, handler: Handler, method: str, kind: Kind) -> Handler:
        behavior, decode = handler.unary_stream, handler.request_deserializer
        assert behavior is not None
        assert decode is not None
        meter = self._meters.method(method)

        def call(messages: Iterator[bytes], context: Context) -> Iterator[Any]:
            visit = self._visit(self._admission.watches, method, kind, context)
            with (
                meter.begin(context) as timed,
                self._spans.call(method, context),
                self._answered(context),
                visit,
                self._access.while_open(context, method),
            ):
                self._admit(visit, kind, rated=kind.is_ours)
                request = _receive(messages, decode, visit, timed)
                visit.stay()
                for answer in behavior(request, context):
                    timed.sent()
                    yield answer

        return self._streaming(call, handler, self._watch_threads)

    def _wrap_stream(self, handler: Handler, method: str, kind: Kind) -> Handler:
        behavior, decode = handler.stream_stream, handler.request_deserializer
        assert behavior is not None
        assert decode is not None
        meter = self._meters.method(method)

        def call(messages: Iterator[bytes], context: Context) -> Iterator[Any]:
            visit = self._visit(self._admission.streams, method, kind, context)
            with (
                meter.begin(context) as timed,
                self._spans.call(method, context),
                self._answered(context),
                visit,
                self._access.while_open(context, method),
            ):
                self._admit(visit, kind, rated=False)  # but each of its questions
                questions = self._questions(messages, decode, visit, timed)
                for answer in behavior(questions, context):
                    timed.sent()
                    yield answer

        return self._streaming(call, handler, self._stream_threads)

    @staticmethod
    def _streaming(
        call: Callable[..., Any], handler: Handler, executor: ThreadPoolExecutor
    ) -> Handler:
        call.experimental_thread_pool = executor  # type: ignore[attr-defined]
        return grpc.stream_stream_rpc_method_handler(
            call, response_serializer=handler.response_serializer
        )

    def _visit(self, house: House, method: str, kind: Kind, context: Context) -> Visit:
        left_s = context.time_remaining()
        # Typed as if it could be None, for a call without a deadline.
        assert left_s is not None
        deadline = time.monotonic() + (left_s if left_s < NO_DEADLINE_S else self._deadline_s)
        identity = self._access.identify(context)
        current_identity.set(identity)
        rate = self._access.calls_per_s_of(identity)
        call = Call(method, caller_of(context), kind.priority, deadline, calls_per_s=rate)
        visit = self._admission.visit(house, call, context.cancel)
        if not context.add_callback(visit.end):
            visit.end()
        return visit

    def _admit(self, visit: Visit, kind: Kind, *, rated: bool) -> None:
        if kind.is_ours:
            self._lifecycle.admit()
        visit.admit(rated=rated, computes=kind.computes)

    def _questions(
        self, messages: Iterator[bytes], decode: Decode, visit: Visit, timed: Timed
    ) -> Iterator[Any]:
        for message in messages:
            timed.received()
            visit.asked(len(message), time.monotonic() + self._deadline_s)
            yield _decode(decode, message)

    @contextmanager
    def _answered(self, context: Context) -> Iterator[None]:
        """Turn whatever escapes from a handler into a status with details."""
        try:
            yield
        except ImagewardError as error:
            self._meters.refused(error)
            _abort(context, status_of(error))
        except grpc.RpcError:
            raise  # gRPC's own way to end a call whose caller has gone
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


def _receive(messages: Iterator[bytes], decode: Decode, visit: Visit, timed: Timed) -> Any:  # noqa: ANN401 - any message
    """Wait for the one message of a call.

    Raises:
        InvalidRequest: there is none, or it is of another type.
        Overloaded: it is one too many to hold.
    """
    message = next(messages, None)
    if message is None:
        raise InvalidRequest("the call ended without its message; send one")
    timed.received()
    visit.received(len(message))
    return _decode(decode, message)


def _decode(decode: Decode, message: bytes) -> Any:  # noqa: ANN401 - any message
    try:
        return decode(message)
    except DecodeError as error:
        raise InvalidRequest(
            f"the message of {len(message)} bytes is not of this method's type; "
            "compare the contract's version",
            bytes=len(message),
        ) from error


class _Refusal(NamedTuple):
    """What a call without a thread is answered with, and how."""

    error: ImagewardError
    code: grpc.StatusCode
    handler: Handler


def _refusing(error: ImagewardError, inline: InlineExecutor) -> _Refusal:
    """Make a handler that refuses at once, without a thread."""
    status = status_of(error)

    def refuse(_messages: Iterator[bytes], context: Context) -> NoReturn:
        _abort(context, status)

    refuse.experimental_thread_pool = inline  # type: ignore[attr-defined]
    return _Refusal(error, status.code, grpc.stream_stream_rpc_method_handler(refuse))


def _abort(context: Context, status: Status) -> NoReturn:
    context.abort_with_status(status)
    raise AssertionError("abort_with_status raises")
