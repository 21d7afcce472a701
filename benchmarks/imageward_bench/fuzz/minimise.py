"""Makes a file that was found small, as long as it still does what it was found for."""

from __future__ import annotations

from collections.abc import Callable

TRIES_MAX = 400


def minimised(data: bytes, still: Callable[[bytes], bool]) -> bytes:
    """Leave out ever smaller parts, then set bytes to zero, while `still` holds.

    After Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input" (2002).
    """
    tries = 0

    def holds(tried: bytes) -> bool:
        nonlocal tries
        tries += 1
        return tries <= TRIES_MAX and still(tried)

    if not holds(data):
        return data  # it does not happen every time: keep it as it is
    part = len(data) // 2
    while part:
        at = 0
        while at < len(data):
            without = data[:at] + data[at + part :]
            zeroed = data[:at] + bytes(len(data[at : at + part])) + data[at + part :]
            if without and holds(without):
                data = without
                continue
            if zeroed != data and holds(zeroed):
                data = zeroed
            at += part
        part //= 2
    return data
