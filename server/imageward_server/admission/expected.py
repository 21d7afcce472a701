"""Calls that were let in by their headers, and whose messages are on their way."""

from __future__ import annotations

import time
from collections import deque

from imageward_server.admission.call import Call, Priority


class Expected:
    """Counts them until they come, and no longer than they could wait. Not locked.

    Without it all that come while a message is received would be let in, and be refused when
    theirs is there. A message that is late, or never comes, must not keep others out.

    Args:
        count_s: seconds that a call counts for.
    """

    def __init__(self, count_s: float) -> None:
        self._count_s = count_s
        # Until when each counts, and its caller; in the order of time.
        self._coming: dict[Priority, deque[tuple[float, str]]] = {one: deque() for one in Priority}

    def add(self, call: Call) -> None:
        """Count a call from now on."""
        self._coming[call.priority].append((time.monotonic() + self._count_s, call.caller))

    def came(self, call: Call) -> None:
        """Count one call less of the same kind and caller."""
        coming = self._coming[call.priority]
        mine = next((one for one in coming if one[1] == call.caller), None)
        if mine is not None:
            coming.remove(mine)

    def ahead_of(self, priority: Priority) -> int:
        """Count the calls that are as urgent or more."""
        self._forget()
        return sum(len(coming) for one, coming in self._coming.items() if one <= priority)

    def of(self, call: Call) -> int:
        """Count the calls of its caller that are as urgent."""
        self._forget()
        return sum(caller == call.caller for _, caller in self._coming[call.priority])

    def _forget(self) -> None:
        now = time.monotonic()
        for coming in self._coming.values():
            while coming and coming[0][0] < now:
                coming.popleft()
