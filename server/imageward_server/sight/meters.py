"""What a worker counts. The parts call these; none of them knows where the numbers go.

Counting stands in every call, so it is made to cost little: the places of all numbers are
looked up beforehand, and a call takes the lock twice.
"""

from __future__ import annotations

import mmap
import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import product
from types import TracebackType
from typing import Any, Final, Protocol, Self

import grpc

from imageward.v1.error_pb2 import ErrorReason
from imageward_index.answer import Pass
from imageward_index.errors import ImagewardError, InvalidImage
from imageward_index.matcher import Completeness, Decision
from imageward_index.policy import Verdict
from imageward_server.cage.retirement import Retirement
from imageward_server.errors import DeadlineExceeded, Overloaded
from imageward_server.sight import catalogue
from imageward_server.sight.methods import UNKNOWN, code_label, method_labels
from imageward_server.sight.page import Page, Series
from imageward_server.status import TABLE, row_of

INDEXES: Final = ("hashes", "regional_codes")
# What found nothing was found by no pass.
NOTHING_FOUND: Final = "none"

_DECODE: Final = (InvalidImage,)
_ADMISSION: Final = (Overloaded, DeadlineExceeded)


class Timed(Protocol):
    """One call while it runs: a context manager around all of it."""

    def __enter__(self) -> Self:
        """Begin to measure."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Count how it ended, and how long it took."""

    def received(self) -> None:
        """Count a message that came in."""

    def sent(self) -> None:
        """Count a message that goes out."""


class Method(Protocol):
    """The calls of one method."""

    def begin(self, context: grpc.ServicerContext) -> Timed:
        """Measure a call that has a thread."""

    def refuse(self, code: grpc.StatusCode) -> None:
        """Count a call that got none."""


class Meters(Protocol):
    """What the parts report to."""

    def method(self, path: str | None) -> Method:
        """Find the meters of a method by its path; None for one that does not exist."""

    def refused(self, error: ImagewardError) -> None:
        """Count the refusal of a call, of a question, or of one part of a call."""

    def decided(self, decisions: Iterable[Decision]) -> None:
        """Count what checks came to."""


class NoMeters:
    """Counts nothing: where nobody looks."""

    def method(self, path: str | None) -> Method:
        """Find meters that do nothing."""
        del path
        return _NO_METHOD

    def refused(self, error: ImagewardError) -> None:
        """Do nothing."""

    def decided(self, decisions: Iterable[Decision]) -> None:
        """Do nothing."""


class PageMeters:
    """Counts into a page. Safe under concurrent use.

    Args:
        memory: shared memory that is shown.
        worker: this worker's number, which its gauges are labelled with.
    """

    def __init__(self, memory: mmap.mmap, worker: int) -> None:
        methods = method_labels()
        self.page = page = Page(memory, [*_call_series(methods.values()), *_own_series(worker)])
        self.worker = str(worker)
        self._methods = {path: _PageMethod(page, labels) for path, labels in methods.items()}
        self._unknown = _PageMethod(page, UNKNOWN)
        self._decode = _reason_places(page, catalogue.DECODE_REJECTIONS, _DECODE)
        self._admission = _reason_places(page, catalogue.ADMISSION_REJECTIONS, _ADMISSION)
        self._checks = {
            (verdict, found_by, completeness): page.place(
                catalogue.CHECKS, *_check_labels(verdict, found_by, completeness)
            )
            for verdict, found_by, completeness in _CHECKS
        }

    def method(self, path: str | None) -> Method:
        """Find the meters of a method by its path; None for one that does not exist."""
        return self._methods.get(path or "", self._unknown)

    def refused(self, error: ImagewardError) -> None:
        """Count the refusal of a call, of a question, or of one part of a call."""
        if isinstance(error, _DECODE):
            self.page.add(self._decode[row_of(error).reason])
        elif isinstance(error, _ADMISSION):
            self.page.add(self._admission[row_of(error).reason])

    def decided(self, decisions: Iterable[Decision]) -> None:
        """Count what checks came to."""
        places, numbers = self._checks, self.page.numbers
        with self.page.lock:
            for one in decisions:
                numbers[places[one.verdict, one.found_by, one.completeness]] += 1


class _PageMethod:
    """The places of one method's numbers."""

    def __init__(self, page: Page, labels: tuple[str, str, str]) -> None:
        self.page = page
        self.started = page.place(catalogue.STARTED, *labels)
        self.received = page.place(catalogue.RECEIVED, *labels)
        self.sent = page.place(catalogue.SENT, *labels)
        self.seconds = page.place(catalogue.HANDLING, *labels)
        self.handled = {
            code: page.place(catalogue.HANDLED, *labels, code_label(code))
            for code in grpc.StatusCode
        }

    def begin(self, context: grpc.ServicerContext) -> Timed:
        """Measure a call that has a thread."""
        self.page.add(self.started)
        return _PageTimed(self, context)

    def refuse(self, code: grpc.StatusCode) -> None:
        """Count a call that got none."""
        self.page.add(self.started)
        self.end(code, 0.0, 0, 0)

    def end(self, code: grpc.StatusCode, took_s: float, received: int, sent: int) -> None:
        """Count a call that is over, and its messages that are not counted yet."""
        seconds = self.seconds
        which = bisect_left(catalogue.HANDLING_BUCKETS, took_s)
        numbers = self.page.numbers
        with self.page.lock:
            numbers[self.handled[code]] += 1
            numbers[seconds + which] += 1
            numbers[seconds + _SUM] += took_s
            numbers[self.received] += received
            numbers[self.sent] += sent


class _PageTimed:
    """One call while it runs.

    Its first message each way is counted when it ends, as a single call has no other, and
    those of a stream when they pass.
    """

    __slots__ = ("_begun_s", "_context", "_method", "_received", "_sent")

    def __init__(self, method: _PageMethod, context: grpc.ServicerContext) -> None:
        self._method = method
        self._context = context
        self._received = self._sent = 0
        self._begun_s = time.perf_counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        took_s = time.perf_counter() - self._begun_s
        self._method.end(_code(self._context, kind), took_s, self._received > 0, self._sent > 0)

    def received(self) -> None:
        """Count a message that came in."""
        if self._received:
            self._method.page.add(self._method.received)
        self._received = 1

    def sent(self) -> None:
        """Count a message that goes out."""
        if self._sent:
            self._method.page.add(self._method.sent)
        self._sent = 1


class _NoMethod:
    def begin(self, context: grpc.ServicerContext) -> Timed:
        del context
        return _NO_TIMED

    def refuse(self, code: grpc.StatusCode) -> None:
        pass


class _NoTimed:
    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def received(self) -> None:
        pass

    def sent(self) -> None:
        pass


_NO_TIMED: Final = _NoTimed()
_NO_METHOD: Final = _NoMethod()
_SUM: Final = len(catalogue.HANDLING_BUCKETS) + 1
_CHECKS: Final = tuple(product(Verdict, (None, *Pass), Completeness))


def _code(context: Any, kind: type[BaseException] | None) -> grpc.StatusCode:  # noqa: ANN401 - gRPC's context types no `code`
    """Say how a call ended: as it was told to, or OK, or its caller has gone."""
    code: grpc.StatusCode | None = context.code()
    if code is not None:
        return code
    return grpc.StatusCode.OK if kind is None else grpc.StatusCode.CANCELLED


def _call_series(methods: Iterable[tuple[str, str, str]]) -> Iterator[Series]:
    every = [*methods, UNKNOWN]
    for family in (catalogue.STARTED, catalogue.RECEIVED, catalogue.SENT, catalogue.HANDLING):
        yield Series(family, every)
    # Zeros included: a rate over a counter that was not there misses its first one.
    yield Series(
        catalogue.HANDLED,
        [(*labels, code_label(code)) for labels in every for code in grpc.StatusCode],
    )


def _own_series(worker: int) -> Iterator[Series]:
    mine = str(worker)
    yield Series(catalogue.CHECKS, [_check_labels(*one) for one in _CHECKS])
    yield Series(catalogue.DECODE_REJECTIONS, [(one,) for one in _reasons(_DECODE).values()])
    yield Series(catalogue.ADMISSION_REJECTIONS, [(one,) for one in _reasons(_ADMISSION).values()])
    yield Series(catalogue.RETIREMENTS, [(why.value,) for why in Retirement])
    for family in (
        *(catalogue.REVISION, catalogue.FEED_LAG, catalogue.INDEX_AGE, catalogue.WAITING),
        *(catalogue.CELL_MEMORY, catalogue.CPU, catalogue.MEMORY),
    ):
        yield Series(family, [(mine,)])
    for family in (catalogue.INDEX_CODES, catalogue.INDEX_SEGMENTS, catalogue.TAIL_CODES):
        yield Series(family, [(mine, index) for index in INDEXES])


def _check_labels(
    verdict: Verdict, found_by: Pass | None, completeness: Completeness
) -> tuple[str, str, str]:
    name = NOTHING_FOUND if found_by is None else found_by.name.lower()
    return verdict.name, name, completeness.name


def _reasons(kinds: tuple[type[Exception], ...]) -> dict[ErrorReason.ValueType, str]:
    """List the reasons that errors of these kinds are told by."""
    found = (row.reason for kind, row in TABLE.items() if issubclass(kind, kinds))
    return {one: ErrorReason.Name(one).removeprefix("ERROR_REASON_") for one in found}


def _reason_places(
    page: Page, family: catalogue.Family, kinds: tuple[type[Exception], ...]
) -> dict[ErrorReason.ValueType, int]:
    return {reason: page.place(family, name) for reason, name in _reasons(kinds).items()}
