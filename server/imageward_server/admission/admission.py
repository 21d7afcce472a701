"""Brings the parts of admission together around one call, from its headers to its end."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Self

from imageward_server.admission.call import Call, current_call
from imageward_server.admission.door import Door
from imageward_server.admission.gate import Gate
from imageward_server.admission.quota import Quota
from imageward_server.admission.rates import Rates
from imageward_server.admission.watchdog import Watchdog, Watched
from imageward_server.errors import Overloaded, TooManyStreams

# How long a request may take to arrive once its headers are there, and an answer to be
# read once it is made; longer than that, and the call is cancelled.
RECEIVE_S_MAX = 10.0
SEND_S_MAX = 10.0
# How long a stream may go without a question asked or an answer read.
STREAM_IDLE_S_MAX = 300.0
# Watches of health open at once; each holds a thread that sleeps.
WATCHES_MAX = 256


class Admission:
    """Everything that decides which calls are let in. Safe under concurrent use.

    Args:
        calls_max: single calls in the house at once; there is a thread for each.
        places: calls that compute at once.
        streams_max: streams open at once.
        held_bytes_max: bytes of requests held at once.
        caller_calls_per_s: what each caller may make; 0 for no limit.
    """

    def __init__(
        self,
        *,
        calls_max: int,
        places: int,
        streams_max: int,
        held_bytes_max: int,
        caller_calls_per_s: float,
    ) -> None:
        self.gate = Gate(places)
        self.rates = Rates(caller_calls_per_s)
        self.held_bytes = Quota("bytes of requests", held_bytes_max, Overloaded)
        self.calls = House("calls", calls_max, Overloaded)
        self.streams = House("streams", streams_max, TooManyStreams)
        self.watches = House("watches of health", WATCHES_MAX, TooManyStreams)
        self.watchdog = Watchdog()

    def close(self) -> None:
        """End the threads."""
        self.watchdog.close()

    def visit(self, house: House, call: Call, cancel: Callable[[], object]) -> Visit:
        """Follow a call that the door has let in."""
        return Visit(self, house, call, cancel)

    def place(self) -> AbstractContextManager[None]:
        """Hold a place to compute in, for the call of this thread.

        Raises, where the `with` begins:
            Overloaded: it would wait too long.
            RateLimited: it is a stream's question, and the caller asks too many.
            DeadlineExceeded: nobody waits for the answer any more.
        """
        call = current_call.get()
        if call.question_bytes is None:
            return self.gate.place(call)
        return self._place_of_question(call, call.question_bytes)

    @contextmanager
    def _place_of_question(self, call: Call, question_bytes: int) -> Iterator[None]:
        self.rates.take(call.caller, call.calls_per_s)
        with self.held_bytes.held(call, question_bytes), self.gate.place(call):
            yield


class House:
    """Calls of one kind: how many are in, and how many of them are one caller's.

    Args:
        what: the kind, for refusals.
        calls_max: how many at once; there is a thread for each.
        refusal: what is raised beyond a caller's share.
    """

    def __init__(self, what: str, calls_max: int, refusal: type[Overloaded]) -> None:
        self.calls_max = calls_max
        self.door = Door(calls_max)
        self.quota = Quota(what, calls_max, refusal)


class Visit:
    """One call in the house. It has left when its handler is done *and* its answer sent.

    A context manager around the handler.
    """

    def __init__(
        self, admission: Admission, house: House, call: Call, cancel: Callable[[], object]
    ) -> None:
        self.call = call
        self._admission = admission
        self._house = house
        self._watched = Watched(cancel, RECEIVE_S_MAX)
        self._claimed = False
        self._held_bytes = 0
        self._ends_to_come = 2
        self._lock = threading.Lock()
        admission.watchdog.add(self._watched)

    def __enter__(self) -> Self:
        current_call.set(self.call)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._held_bytes:
            self._admission.held_bytes.release(self.call, self._held_bytes)
        self._watched.prolong(SEND_S_MAX)
        self.end()

    def end(self) -> None:
        """Note that the handler is done, or that the call is over for gRPC."""
        with self._lock:
            self._ends_to_come -= 1
            if self._ends_to_come:
                return
        self._admission.watchdog.remove(self._watched)
        if self._claimed:
            self._house.quota.release(self.call)
        self._house.door.leave()

    def admit(self, *, rated: bool, computes: bool) -> None:
        """Let the call go on to receive its message.

        Args:
            rated: whether it counts for its caller's rate.
            computes: whether it will need a place to compute in.

        Raises:
            RateLimited: the caller makes too many calls.
            Overloaded: the caller has too many open, or this one would wait too long.
            DeadlineExceeded: nobody waits for the answer any more.
        """
        if rated:
            self._admission.rates.take(self.call.caller, self.call.calls_per_s)
        self._house.quota.claim(self.call)
        self._claimed = True
        if computes:
            self._admission.gate.expect_room(self.call)

    def received(self, message_bytes: int) -> None:
        """Count the bytes of the message until the handler is done.

        Raises:
            Overloaded: the server, or the caller, holds too many.
        """
        self._admission.held_bytes.claim(self.call, message_bytes)
        self._held_bytes = message_bytes
        self._watched.prolong(max(self.call.left_s, 0.0) + SEND_S_MAX)

    def stay(self) -> None:
        """Let it last for as long as the caller listens."""
        self._watched.prolong(math.inf)

    def asked(self, question_bytes: int, deadline: float) -> None:
        """Begin the next question of a stream; it must be answered by the deadline."""
        self.call.question_bytes = question_bytes
        self.call.deadline = deadline
        self._watched.prolong(STREAM_IDLE_S_MAX)
