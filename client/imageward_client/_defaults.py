"""What both clients take where the caller does not say."""

from __future__ import annotations

TARGET = "127.0.0.1:50051"
TIMEOUT_S = 2.0
# Bounds a stream that both ends forgot. A peer that died is noticed by keepalive.
STREAM_TIMEOUT_S = 3_600.0


def expect_timeout(timeout_s: float) -> float:
    """Returns the timeout.

    Raises:
        ValueError: it is not above 0.
    """
    if timeout_s <= 0:
        raise ValueError(f"timeout_s is seconds above 0; {timeout_s:g} was given.")
    return timeout_s
