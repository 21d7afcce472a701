"""How much of a call's time its work may take."""

from __future__ import annotations

import time

from imageward_server.admission import current_call

# The rest of the time to the deadline is for the answer's way back.
USABLE_SHARE = 0.9


def usable_s() -> float:
    """Say how long the call of this thread may still work or wait, in seconds."""
    return current_call.get().left_s * USABLE_SHARE


def end() -> float:
    """Say until when that is, as `time.monotonic` tells it."""
    return time.monotonic() + usable_s()
