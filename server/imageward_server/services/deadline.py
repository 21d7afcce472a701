"""Until when a call may take, from what its caller waits.

Ends are told in seconds of `time.monotonic`.
"""

from __future__ import annotations

import time

import grpc

from imageward_server.errors import DeadlineExceeded

# What a call without a deadline may take, and a question of a stream.
TIME_S_DEFAULT = 2.0
# How much of the time to the deadline is used; the rest is for the answer's way back.
TIME_SHARE = 0.9


def end_of(context: grpc.ServicerContext) -> float:
    """Say until when a call may take.

    Raises:
        DeadlineExceeded: the caller waits no more, so nothing is computed for it.
    """
    left_s = context.time_remaining()
    if left_s is None:
        return end_of_question()
    if left_s <= 0:
        raise DeadlineExceeded("the deadline passed before the call was begun; allow more time")
    return time.monotonic() + left_s * TIME_SHARE


def end_of_question() -> float:
    """Say until when a question that brings no deadline may take, if it comes now."""
    return time.monotonic() + TIME_S_DEFAULT
