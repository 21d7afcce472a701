"""Calls that wait for a place: by priority, then by the caller that used least."""

from __future__ import annotations

import threading
from collections import deque

from imageward_index.errors import ImagewardError
from imageward_server.admission.call import Call, Priority

# Callers whose use is remembered while they do not wait.
CALLERS_REMEMBERED_MAX = 1_024


class Waiter:
    """A call in the queue, and the thread that waits with it.

    Attributes:
        is_decided: whether it was let in or refused, which happens once.
    """

    def __init__(self, call: Call) -> None:
        self.call = call
        self.is_decided = False
        self._refusal: ImagewardError | None = None
        # Given free by who decides. An event would be the same with a lock, a condition and
        # two more changes of threads, in every call that waits.
        self._turn = threading.Lock()
        self._turn.acquire()

    def let_in(self) -> None:
        """Give it a place."""
        self._decide()

    def refuse(self, refusal: ImagewardError) -> None:
        """Send it away."""
        self._refusal = refusal
        self._decide()

    def wait(self) -> bool:
        """Return whether it has a place; not, when its deadline passes first.

        Raises:
            ImagewardError: the refusal, if it was sent away.
        """
        decided = self._turn.acquire(timeout=max(self.call.left_s, 0.0))
        if self._refusal is not None:
            raise self._refusal
        return decided

    def _decide(self) -> None:
        self.is_decided = True
        self._turn.release()


class FairQueue:
    """Waiting calls in lines, one for each priority and caller. Not locked.

    Callers take turns by the time that they have used, so that many calls of one do not
    delay another's: start-time fair queueing, P. Goyal, H. Vin, H. Cheng 1996.
    """

    def __init__(self) -> None:
        self._lines: dict[Priority, dict[str, deque[Waiter]]] = {one: {} for one in Priority}
        self._waiting = dict.fromkeys(Priority, 0)
        self._used_s: dict[str, float] = {}
        self._turn_s = 0.0

    def __bool__(self) -> bool:
        return any(self._waiting.values())

    def ahead_of(self, priority: Priority) -> int:
        """Count the calls that are as urgent or more."""
        return sum([count for one, count in self._waiting.items() if one <= priority])

    def waiting_of(self, call: Call) -> int:
        """Count the calls of its caller that are as urgent."""
        return len(self._lines[call.priority].get(call.caller, ()))

    def instead_of(self, call: Call) -> Waiter | None:
        """Name the call to send away in its place: the last of a caller with more waiting."""
        lines = self._lines[call.priority]
        longest = max(lines.values(), key=len, default=deque[Waiter]())
        own = lines.get(call.caller, ())
        if len(longest) <= len(own) + 1 or longest[-1].call.begun:
            return None
        return longest[-1]

    def push(self, waiter: Waiter) -> None:
        """Put a call at the end of its line, or at its head if it was begun before."""
        call = waiter.call
        # Who comes back after a pause has no claim to what it did not use meanwhile.
        self._used_s[call.caller] = max(self._used_s.get(call.caller, 0.0), self._turn_s)
        line = self._lines[call.priority].setdefault(call.caller, deque())
        if call.begun:
            line.appendleft(waiter)
        else:
            line.append(waiter)
        self._waiting[call.priority] += 1

    def pop(self) -> Waiter:
        """Take the call whose turn it is."""
        priority = next(one for one, lines in self._lines.items() if lines)
        caller = min(self._lines[priority], key=self._used_s.__getitem__)
        self._turn_s = max(self._turn_s, self._used_s[caller])
        waiter = self._lines[priority][caller][0]
        self.remove(waiter)
        return waiter

    def remove(self, waiter: Waiter) -> None:
        """Take a call out of its line."""
        lines, caller = self._lines[waiter.call.priority], waiter.call.caller
        lines[caller].remove(waiter)
        self._waiting[waiter.call.priority] -= 1
        if not lines[caller]:
            del lines[caller]

    def charge(self, caller: str, used_s: float) -> None:
        """Note that a caller's call computed so long."""
        self._used_s[caller] = max(self._used_s.get(caller, 0.0), self._turn_s) + used_s
        if len(self._used_s) > CALLERS_REMEMBERED_MAX:
            waiting = {one for lines in self._lines.values() for one in lines}
            self._used_s = {one: self._used_s[one] for one in waiting}
