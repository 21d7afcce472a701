"""Calls that were let in by their headers, and whose messages are on their way."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from typing import TypeAlias

from imageward_server.admission.call import Call, Priority

_Kind: TypeAlias = tuple[Priority, str]


class Expected:
    """Counts them until they come, and no longer than they could wait. Not locked.

    Without it all that come while a message is received would be let in, and be refused when
    theirs is there. A message that is late, or never comes, must not keep others out.

    Args:
        count_s: seconds that a call counts for.
    """

    def __init__(self, count_s: float) -> None:
        self._count_s = count_s
        # Until when each counts: of all in the order of time, and of each priority and caller.
        self._all: deque[tuple[float, _Kind]] = deque()
        self._own: defaultdict[_Kind, deque[float]] = defaultdict(deque)
        self._of_priority = dict.fromkeys(Priority, 0)

    def add(self, call: Call) -> None:
        """Count a call from now on."""
        kind, until = (call.priority, call.caller), time.monotonic() + self._count_s
        self._all.append((until, kind))
        self._own[kind].append(until)
        self._of_priority[call.priority] += 1

    def came(self, call: Call) -> None:
        """Count one call less of the same kind and caller: the one that counts shortest."""
        kind = (call.priority, call.caller)
        if kind in self._own:
            self._take(kind)

    def ahead_of(self, priority: Priority) -> int:
        """Count the calls that are as urgent or more."""
        self._forget()
        return sum([count for one, count in self._of_priority.items() if one <= priority])

    def of(self, call: Call) -> int:
        """Count the calls of its caller that are as urgent."""
        self._forget()
        return len(self._own.get((call.priority, call.caller), ()))

    def _take(self, kind: _Kind) -> None:
        own = self._own[kind]
        own.popleft()
        self._of_priority[kind[0]] -= 1
        if not own:
            del self._own[kind]

    def _forget(self) -> None:
        now = time.monotonic()
        while self._all and self._all[0][0] < now:
            until, kind = self._all.popleft()
            own = self._own.get(kind)
            # Those that came are no longer among their caller's.
            if own and own[0] == until:
                self._take(kind)
