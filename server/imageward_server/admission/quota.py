"""What is held at once, in all and by each caller: calls, bytes, streams."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from imageward_server.admission.call import Call, Priority
from imageward_server.errors import Overloaded

# What one caller may hold of the whole, so that it leaves room for the others, and for
# what is more urgent than its own calls.
CALLER_SHARES = {Priority.URGENT: 0.75, Priority.CHECK: 0.5, Priority.BULK: 0.5}
RETRY_S = 0.25


class Quota:
    """Counts what callers hold. Safe under concurrent use.

    Args:
        what: what is counted, for the refusal.
        held_max: how much all may hold together.
        refusal: what is raised beyond that.
    """

    def __init__(self, what: str, held_max: int, refusal: type[Overloaded]) -> None:
        self._what = what
        self._refusal = refusal
        self._held_max = held_max
        self._lock = threading.Lock()
        self._held: Counter[str] = Counter()
        self._in_all = 0

    def claim(self, call: Call, amount: int = 1) -> None:
        """Hold so much more for a call's caller.

        Raises:
            Overloaded: all together, or this caller alone, would hold too much.
        """
        with self._lock:
            caller = call.caller
            caller_max = max(int(self._held_max * CALLER_SHARES[call.priority]), 1)
            if self._in_all + amount > self._held_max:
                raise self._refused("the server holds", self._in_all + amount, self._held_max)
            if self._held[caller] + amount > caller_max:
                raise self._refused("this caller holds", self._held[caller] + amount, caller_max)
            self._held[caller] += amount
            self._in_all += amount

    def release(self, call: Call, amount: int = 1) -> None:
        """Give back what was held."""
        with self._lock:
            self._in_all -= amount
            self._held[call.caller] -= amount
            if not self._held[call.caller]:
                del self._held[call.caller]

    @contextmanager
    def held(self, call: Call, amount: int) -> Iterator[None]:
        """Hold so much more for a while; raises as `claim` does."""
        self.claim(call, amount)
        try:
            yield
        finally:
            self.release(call, amount)

    def _refused(self, whose: str, held: int, held_max: int) -> Overloaded:
        return self._refusal(
            f"with this one {whose} {held} {self._what} at once, at most {held_max} are "
            "allowed; finish some first",
            retry_after_s=RETRY_S,
            held=held,
            held_max=held_max,
        )
