"""One image in a cell: orders with a clock, and every way they can end as one exception."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from typing import Final, TypeVar

import structlog

from imageward_index.errors import (
    ImageTooLarge,
    InvalidImage,
    UndecodableImage,
    UnsupportedFormat,
)
from imageward_server.cage.link import CellDied, CellLink
from imageward_server.cage.payloads import InvalidPayload, read_refusal, read_traceback
from imageward_server.cage.pool import Pool
from imageward_server.cage.protocol import MEMORY_BYTES, Message, Order, Outcome
from imageward_server.cage.retirement import Retirement
from imageward_server.errors import DeadlineExceeded, ImageTooCostly, TooManyCostlyImages

log = structlog.get_logger(__name__)

T = TypeVar("T")

IMAGE_S_MAX: Final = 1.0
"""Of a cell's time, for an image. Killing the cell then takes some milliseconds."""

QUICK_S_MAX: Final = 0.1
"""An image that is expected to take longer is decoded at a low priority."""

PROBATION_S: Final = 0.06
"""Time on a processor for each order, beyond twice what is expected of the image, until the
image counts as slow."""

OPEN_S: Final = 0.02
"""The same for decoding alone, where it shows first that a header lied."""

STARVED_SHARE: Final = 0.5
"""Of the time that an image may take: a cell that ran less of it is not to blame."""

_REFUSALS: Final[dict[int, type[InvalidImage]]] = {
    Outcome.UNSUPPORTED_FORMAT: UnsupportedFormat,
    Outcome.IMAGE_TOO_LARGE: ImageTooLarge,
    Outcome.UNDECODABLE_IMAGE: UndecodableImage,
}


class Job:
    """Has a cell work on one image. One thread at a time may use it.

    Attributes:
        ended: why the cell was ended before the job was; None if it was not.

    Args:
        pool: where the cell is leased.
        image: the bytes, 20,000,000 at most.
        until: when the caller gives up, as `time.monotonic` tells it.

    Raises:
        DeadlineExceeded: no cell was free until then.
        Loading: there are no cells.
    """

    def __init__(self, pool: Pool, image: bytes, until: float) -> None:
        self._pool = pool
        self._until = until
        self._left_s = IMAGE_S_MAX
        self._allowed_s = 0.0
        self.ended: Retirement | None = None
        self._error: Exception | None = None
        self._link: CellLink | None = pool.lease(until)
        self._link.put(image)
        self._bytes = len(image)
        self._computed_s = self._link.computed_s()

    @property
    def computed_s(self) -> float:
        """How long the cell has run on a processor for this image; 0.0 once it is given back."""
        return 0.0 if self._link is None else self._link.computed_s() - self._computed_s

    def take(self, order: Order = Order.TAKE) -> None:
        """Hand the image to the cell, and move to a slow place if it says it takes long.

        Args:
            order: TAKE, or TAKE_REDUCED for what reduces a large JPEG.

        Raises:
            ImageTooCostly: it would take longer than an image may.
            TooManyCostlyImages: no slow place is free.
            UndecodableImage: the cell did not survive it.
        """
        expected_s = self.ask(order, _read_seconds, self._bytes)
        if expected_s > IMAGE_S_MAX:
            raise _too_costly()
        if expected_s > QUICK_S_MAX:
            self._slow_down()
        self._allowed_s += 2 * expected_s

    def ask(self, order: Order, read: Callable[[bytearray], T], value: int = 0) -> T:
        """Give an order and read its result.

        Raises:
            InvalidImage: the image is refused, or took too long, or broke its cell.
            TooManyCostlyImages: it takes long, and too many do.
            DeadlineExceeded: the caller waits no more.
            RuntimeError: a mistake of ours in the cell; the log has its traceback.
        """
        if self._link is None:
            raise self._error or AssertionError("a job that ended takes no orders")
        begun = time.monotonic()
        try:
            self._link.begin(order, value)
            return self._read(self._await(self._link, order, begun), read)
        except CellDied as error:
            raise self._fail(Retirement.CRASHED, _broken()) from error
        except InvalidPayload as error:
            log.warning("cell lied", what=str(error))
            raise self._fail(Retirement.LYING, _broken()) from error
        finally:
            self._left_s -= time.monotonic() - begun

    def end(self) -> None:
        """Give the cell back; one that is still at work is ended."""
        if self._link is not None and self._link.busy:
            self._fail(Retirement.ABANDONED, _deadline_passed())
        elif self._link is not None:
            link, self._link = self._link, None
            self._pool.give_back(link)

    def _await(self, link: CellLink, order: Order, begun: float) -> Message:
        """Wait for the answer; an order that takes long goes on at a low priority."""
        end = min(begun + self._left_s, self._until)
        self._allowed_s += OPEN_S if order is Order.OPEN else PROBATION_S
        while (answer := link.wait(min(OPEN_S, end - time.monotonic()))) is None:
            if time.monotonic() >= end:
                raise self._overrun(end)
            if not link.slow and self.computed_s > self._allowed_s:
                self._slow_down()
        return answer

    def _read(self, answer: Message, read: Callable[[bytearray], T]) -> T:
        assert self._link is not None, "an answer came over a link"
        if answer.value > MEMORY_BYTES:
            raise InvalidPayload("a cell answered with more than there is room for")
        data = self._link.get(answer.value)
        if answer.kind == Outcome.DONE:
            return read(data)
        if answer.kind == Outcome.FAILED:
            log.error("cell failed", traceback=read_traceback(data))
            raise RuntimeError("a cell failed; its traceback is in the log")
        if answer.kind not in _REFUSALS:
            raise InvalidPayload("a cell answered with an outcome that there is not")
        message, metadata = read_refusal(data)
        raise _REFUSALS[answer.kind](message, **metadata)

    def _slow_down(self) -> None:
        assert self._link is not None, "only a job that goes on is slowed down"
        try:
            self._pool.slow_down(self._link)
        except TooManyCostlyImages as error:
            # An idle cell has done nothing wrong, and goes back.
            if self._link.busy:
                self._fail(Retirement.REFUSED, error)
            raise

    def _overrun(self, end: float) -> Exception:
        if end == self._until:
            return self._fail(Retirement.ABANDONED, _deadline_passed())
        if self.computed_s < STARVED_SHARE * IMAGE_S_MAX:
            return self._fail(Retirement.REFUSED, _starved())
        return self._fail(Retirement.OVERRUN, _too_costly())

    def _fail(self, why: Retirement, error: Exception) -> Exception:
        """End the cell and the job; returns what the caller is told, now and when it asks again."""
        assert self._link is not None, "a job ends once"
        link, self._link, self._error = self._link, None, error
        self.ended = self._pool.retire(link, why)
        return error


def _read_seconds(data: bytearray) -> float:
    if len(data) != struct.calcsize("=d"):
        raise InvalidPayload("a cell answered with no time")
    seconds: float = struct.unpack("=d", data)[0]
    if not seconds >= 0:
        raise InvalidPayload("a cell answered with no time")
    return seconds


def _too_costly() -> ImageTooCostly:
    return ImageTooCostly(
        f"the image takes more than {IMAGE_S_MAX} s to decode; send a smaller copy, or a JPEG",
        decode_s_max=IMAGE_S_MAX,
    )


def _starved() -> TooManyCostlyImages:
    return TooManyCostlyImages(
        f"the image was not decoded within {IMAGE_S_MAX} s, for there are others; "
        "send it again later, or a smaller copy"
    )


def _broken() -> UndecodableImage:
    return UndecodableImage("the image broke its decoder; encode it anew")


def _deadline_passed() -> DeadlineExceeded:
    return DeadlineExceeded("the deadline passed while the image was decoded; allow more time")
