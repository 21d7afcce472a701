"""How many calls a second each caller may make."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict

from imageward_server.errors import RateLimited

# A caller may save up the calls of so many seconds.
BURST_S = 2.0
# The callers seen longest ago are forgotten: their buckets have filled up again.
CALLERS_REMEMBERED_MAX = 10_000


class Rates:
    """One token bucket for each caller. Safe under concurrent use.

    Args:
        calls_per_s: what each may make that has no rate of its own; 0 for no limit.
    """

    def __init__(self, calls_per_s: float) -> None:
        self.calls_per_s = calls_per_s
        self._lock = threading.Lock()
        # Caller: calls that it may make now, and when that was counted.
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str, own_calls_per_s: float | None = None) -> None:
        """Count one call.

        Args:
            caller: whose.
            own_calls_per_s: its own rate, if it has one; 0 for no limit.

        Raises:
            RateLimited: the caller has made too many.
        """
        calls_per_s = self.calls_per_s if own_calls_per_s is None else own_calls_per_s
        if not calls_per_s:
            return
        burst = max(calls_per_s * BURST_S, 1.0)
        with self._lock:
            now = time.monotonic()
            calls, counted = self._buckets.pop(caller, (burst, now))
            calls = min(calls + (now - counted) * calls_per_s, burst)
            self._buckets[caller] = (calls - 1 if calls >= 1 else calls, now)
            if len(self._buckets) > CALLERS_REMEMBERED_MAX:
                self._buckets.popitem(last=False)
        if calls < 1:
            raise RateLimited(
                f"this caller makes more than {calls_per_s:g} calls a second; "
                "send fewer, or larger batches",
                retry_after_s=(1 - calls) / calls_per_s,
                calls_per_s=f"{calls_per_s:g}",
            )
