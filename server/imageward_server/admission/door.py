"""Whether there is a thread for a call, decided before it has one."""

from __future__ import annotations

import threading

from imageward_server.admission.call import Priority

# How full the house may be for a call to come in. What is urgent finds room when
# everything else is full.
SHARES = {Priority.URGENT: 1.0, Priority.CHECK: 0.9, Priority.BULK: 0.5}


class Door:
    """Counts the calls in the house. Safe under concurrent use.

    Args:
        calls_max: as many as there are threads.
    """

    def __init__(self, calls_max: int) -> None:
        self._inside = 0
        self._inside_max = {one: max(int(calls_max * share), 1) for one, share in SHARES.items()}
        self._lock = threading.Lock()

    def enter(self, priority: Priority) -> bool:
        """Let a call in, or say that there is no room."""
        with self._lock:
            if self._inside >= self._inside_max[priority]:
                return False
            self._inside += 1
            return True

    def leave(self) -> None:
        """Note that a call which was let in is gone."""
        with self._lock:
            self._inside -= 1
