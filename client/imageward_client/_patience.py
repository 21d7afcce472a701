"""Whether a call that was refused as one too many is sent again, and after how long.

gRPC's own retries know nothing of google.rpc.RetryInfo. A refused call was not begun, so
every call may be sent again. Nothing here sends, or knows a particular call.
"""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING

from imageward_client.errors import Overloaded

if TYPE_CHECKING:
    from imageward_client._channel import RetryPolicy
    from imageward_client.errors import ImagewardClientError

# A pause is what the server asked for and up to so much of it more, drawn at random: those
# who were refused together must not come back together.
JITTER = 0.5


class Budget:
    """Tokens that refusals take and answers return; may be shared by threads.

    Nothing is sent again while half of them or fewer are left, as in gRPC's own throttling:
    https://github.com/grpc/proposal/blob/master/A6-client-retries.md.
    """

    def __init__(self, retry: RetryPolicy) -> None:
        self._tokens_max = self._tokens = float(retry.budget_tokens)
        self._refill = retry.budget_refill
        self._lock = threading.Lock()

    def answered(self) -> None:
        """Returns a part of a token."""
        with self._lock:
            self._tokens = min(self._tokens + self._refill, self._tokens_max)

    def refused(self) -> bool:
        """Takes a token; returns whether the call may be sent again."""
        with self._lock:
            self._tokens = max(self._tokens - 1, 0.0)
            return self._tokens > self._tokens_max / 2


class Patience:
    """How often one call may still be sent, and until when."""

    def __init__(self, retry: RetryPolicy, budget: Budget, timeout_s: float) -> None:
        self._budget = budget
        self._attempts_left = retry.attempts_max
        self._deadline = time.monotonic() + timeout_s

    @property
    def left_s(self) -> float:
        """Seconds left for the call."""
        return self._deadline - time.monotonic()

    def pause_s(self, error: ImagewardClientError) -> float | None:
        """Returns the seconds to wait before the call is sent again; None not to."""
        self._attempts_left -= 1
        if not isinstance(error, Overloaded) or error.retry_after_s is None:
            return None
        pause_s = error.retry_after_s * random.uniform(1, 1 + JITTER)  # noqa: S311 - no secret
        if not self._budget.refused() or not self._attempts_left or pause_s >= self.left_s:
            return None
        return pause_s
