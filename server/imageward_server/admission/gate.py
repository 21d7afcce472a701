"""The places in which calls compute, and the short queue before them."""

from __future__ import annotations

import math
import threading
import time
from contextlib import AbstractContextManager

from imageward_server.admission.call import Call, Priority
from imageward_server.admission.estimate import Estimate
from imageward_server.admission.expected import Expected
from imageward_server.admission.queue import FairQueue, Waiter
from imageward_server.errors import DeadlineExceeded, Overloaded

# A call waits when fewer than so many are ahead of it, or when they are served within
# the time: long enough to ride out a burst, short enough that whoever is let in is
# answered about as fast as on a quiet day.
WAITING_MIN = 8
WAIT_S_MAX = 0.025
# A caller with less than this part of such a queue may find it so many times as long: calls
# that come at random come several at once, also those of a caller that asks for little.
MODEST_SHARE = 0.5
MODEST_QUEUE = 2.0
# A refused caller is asked to stay away for as long as this many full queues take.
RETRY_WAITS = 4
RETRY_S_MIN = 0.1
RETRY_S_MAX = 5.0


class Gate:
    """Lets so many calls compute at once. Safe under concurrent use.

    A full queue refuses the caller that has most waiting, not the one that comes last, and
    is full later for one that has little.

    Args:
        places: calls that compute at once.
    """

    def __init__(self, places: int) -> None:
        self._free = places
        self._lock = threading.Lock()
        self._queue = FairQueue()
        self._expected = Expected(WAIT_S_MAX)
        self._estimate = Estimate()
        self._left_at = 0.0

    @property
    def waiting(self) -> int:
        """How many calls wait for a place."""
        with self._lock:
            return self._queue.ahead_of(Priority.BULK)

    def expect_room(self, call: Call) -> None:
        """Return if the call would be let in or could wait, and expect it from then on.

        Raises:
            Overloaded: the queue is full, or the wait longer than the call can.
            DeadlineExceeded: nobody waits for the answer any more.
        """
        with self._lock:
            self._expect_time(call)
            self._expect_room(call)
            self._expected.add(call)

    def place(self, call: Call) -> AbstractContextManager[None]:
        """Wait for a place, and hold it.

        Raises, where the `with` begins:
            Overloaded: the queue is full, or the wait longer than the call can.
            DeadlineExceeded: nobody waits for the answer any more.
        """
        return _Held(self, call)

    def _enter(self, call: Call) -> None:
        with self._lock:
            if not call.begun:
                self._expected.came(call)
                self._expect_time(call)
            if self._free:
                self._free -= 1
                call.begun = True
                return
            if not call.begun:
                self._make_room(call)
            waiter = Waiter(call)
            self._queue.push(waiter)
        if not waiter.wait():
            self._give_up(waiter)

    def _give_up(self, waiter: Waiter) -> None:
        """Leave the queue, unless it was decided in this very moment."""
        with self._lock:
            if waiter.is_decided:
                waiter.wait()
                return
            self._queue.remove(waiter)
        raise _too_late()

    def _make_room(self, call: Call) -> None:
        self._expect_room(call)
        if self._is_full(call, self._ahead_of(call)) and (other := self._queue.instead_of(call)):
            self._queue.remove(other)
            other.refuse(self._overloaded(call))

    def _expect_time(self, call: Call) -> None:
        if self._estimate.is_hopeless(call, 0.0):
            raise _too_late()

    def _expect_room(self, call: Call) -> None:
        ahead = self._ahead_of(call)
        if not ahead:
            return
        if self._is_full(call, ahead) and self._queue.instead_of(call) is None:
            raise self._overloaded(call)
        if self._estimate.is_hopeless(call, ahead * self._estimate.pace_s):
            raise self._overloaded(call)

    def _is_full(self, call: Call, ahead: int) -> bool:
        pace_s = self._estimate.pace_s
        waiting_max = max(WAITING_MIN, WAIT_S_MAX / pace_s if pace_s else math.inf)
        own = self._queue.waiting_of(call) + self._expected.of(call)
        if own < waiting_max * MODEST_SHARE:
            waiting_max *= MODEST_QUEUE
        return ahead >= waiting_max

    def _ahead_of(self, call: Call) -> int:
        """Count the calls that wait, or soon will, for the place that this one needs."""
        priority = call.priority
        return max(
            self._queue.ahead_of(priority) + self._expected.ahead_of(priority) - self._free, 0
        )

    def _leave(self, call: Call, held_s: float) -> None:
        with self._lock:
            now = time.perf_counter()
            self._estimate.served(call, held_s)
            self._queue.charge(call.caller, held_s)
            if self._queue:
                self._estimate.paced(now - self._left_at)
            self._left_at = now
            self._free += 1
            self._let_in()

    def _let_in(self) -> None:
        """Give the free place to the first call that is still waited for."""
        while self._free and self._queue:
            waiter = self._queue.pop()
            if not waiter.call.begun and self._estimate.is_hopeless(waiter.call, 0.0):
                waiter.refuse(_too_late())
            else:
                self._free -= 1
                waiter.call.begun = True
                waiter.let_in()

    def _overloaded(self, call: Call) -> Overloaded:
        wait_s = self._ahead_of(call) * self._estimate.pace_s
        return Overloaded(
            "the server has more calls than it can answer in time; "
            "send this one again after the time that RetryInfo says, or to another server",
            retry_after_s=min(max(wait_s * RETRY_WAITS, RETRY_S_MIN), RETRY_S_MAX),
        )


class _Held:
    """A call's place in a gate. A generator would take four times as long, in every call."""

    __slots__ = ("_begun", "_call", "_gate")

    def __init__(self, gate: Gate, call: Call) -> None:
        self._gate, self._call = gate, call

    def __enter__(self) -> None:
        self._gate._enter(self._call)  # noqa: SLF001 - a part of it
        self._begun = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._gate._leave(self._call, time.perf_counter() - self._begun)  # noqa: SLF001


def _too_late() -> DeadlineExceeded:
    return DeadlineExceeded("the deadline leaves no time to answer the call; allow more")
