"""How long to go on waiting for a server to be ready."""

from __future__ import annotations

import time

from imageward_client._rebuild import refused

POLL_S = 0.05


class Countdown:
    """The time left of a wait."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._end = time.monotonic() + timeout_s

    def left_s(self) -> float:
        """Returns the seconds left, above 0.

        Raises:
            DeadlineExceeded: none are left.
        """
        left_s = self._end - time.monotonic()
        if left_s <= 0:
            raise refused(
                "DEADLINE_EXCEEDED",
                f"The server was not ready within {self._timeout_s:g} s."
                " Look at its log, or wait longer.",
            )
        return left_s
