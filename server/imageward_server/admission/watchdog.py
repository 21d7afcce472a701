"""Ends what takes too long to arrive, to be answered or to be read."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

LOOK_EVERY_S = 0.25


class Watched:
    """Something with a time to live, which may be prolonged.

    Args:
        cancel: ends it, from another thread.
        live_s: seconds from now.
    """

    def __init__(self, cancel: Callable[[], object], live_s: float) -> None:
        self.cancel = cancel
        self.expires = time.monotonic() + live_s

    def prolong(self, live_s: float) -> None:
        """Give it so many seconds from now."""
        self.expires = time.monotonic() + live_s


class Watchdog:
    """Looks at everything it watches a few times a second. Safe under concurrent use."""

    def __init__(self) -> None:
        self._watched: set[Watched] = set()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._stopping.set()
        self._thread.join()

    def add(self, watched: Watched) -> None:
        """Watch it from now on."""
        with self._lock:
            self._watched.add(watched)

    def remove(self, watched: Watched) -> None:
        """Watch it no more."""
        with self._lock:
            self._watched.discard(watched)

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_EVERY_S):
            for watched in self._expired():
                watched.cancel()

    def _expired(self) -> list[Watched]:
        now = time.monotonic()
        with self._lock:
            expired = [one for one in self._watched if one.expires < now]
            self._watched.difference_update(expired)
        return expired
