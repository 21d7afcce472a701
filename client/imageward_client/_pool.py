"""How many channels a client has, and which one takes the next call.

A server's processes share a port. The kernel gives each connection to one of them, for as
long as it lasts, so a client with one connection would use one process.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

CHANNELS = 4
CHANNELS_LIMIT = 64
Thing = TypeVar("Thing")


class Turns(Generic[Thing]):
    """Hands out things in turn; may be shared by threads.

    Args:
        things: at least one.
    """

    def __init__(self, things: Iterable[Thing]) -> None:
        self.things = tuple(things)
        self._count = itertools.count()

    def next(self) -> Thing:
        """Returns the next one."""
        return self.things[next(self._count) % len(self.things)]


def expect_channels(channels: int) -> int:
    """Returns the number of channels.

    Raises:
        ValueError: it is out of its range.
    """
    if not 1 <= channels <= CHANNELS_LIMIT:
        raise ValueError(f"channels is 1..{CHANNELS_LIMIT}; {channels} was given.")
    return channels
