"""Calls that are sent again while a busy server refuses them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from imageward_client import Overloaded

PAUSE_S = 0.01
TRIES_MAX = 1000

Answer = TypeVar("Answer")


def admitted(call: Callable[[], Answer], refused: Callable[[], None] = lambda: None) -> Answer:
    """Return the answer of a call, once the server admits it.

    Args:
        call: what is sent.
        refused: told of every time that it was not.

    Raises:
        Overloaded: it was refused a thousand times.
    """
    for _ in range(TRIES_MAX):
        try:
            return call()
        except Overloaded:
            refused()
            time.sleep(PAUSE_S)
    return call()
