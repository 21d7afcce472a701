"""The time that one check has, and what happens when it is spent."""

from __future__ import annotations

from collections.abc import Callable


class OutOfTime(Exception):
    """What comes next does not fit into the time left. It does not leave this package."""


class Budget:
    """So many seconds from now on.

    Args:
        seconds: the time there is; infinite where nobody waits.
        clock: tells the time, in seconds.
    """

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._deadline = clock() + seconds

    def require(self, cost_s: float) -> None:
        """Go on only if there is time for what is expected to take so long.

        Raises:
            OutOfTime: there is not.
        """
        if self._clock() + cost_s > self._deadline:
            raise OutOfTime
