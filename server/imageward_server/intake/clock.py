"""The intake's clock: wall time that never steps while a process runs.

It starts from the wall clock, or from the last time that was seen if that is later, and
goes on by the monotonic clock. A wall clock that is set forward by mistake would delete
pictures early, one that is set back would keep them too long.
"""

from __future__ import annotations

import time
from collections.abc import Callable


class SteadyClock:
    """Tells seconds since 1970 UTC, without steps.

    Args:
        wall: the clock that may be set.
        monotonic: the one that cannot.
    """

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._offset_s = wall() - monotonic()

    def __call__(self) -> float:
        """Tell the time."""
        return self._monotonic() + self._offset_s

    def not_before(self, seen_s: float) -> None:
        """Go on from a time that was seen before, if the clock is behind it."""
        self._offset_s = max(self._offset_s, seen_s - self._monotonic())

    def drift_s(self) -> float:
        """Tell how far the wall clock is ahead of this one, in seconds."""
        return self._wall() - self()
