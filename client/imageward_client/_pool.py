"""How many channels a client has, which one takes the next call, and when they are replaced.

A server's processes share a port. The kernel gives each connection to one of them, for as
long as it lasts, so a client with one connection would use one process. A channel keeps the
certificate that it was made with, so a client with another one needs other channels.
"""

from __future__ import annotations

import itertools
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imageward_client._tls import Stamp, Tls

CHANNELS = 4
CHANNELS_LIMIT = 64
# How often the files of TLS are looked at, at most.
LOOK_S = 1.0
Channel = TypeVar("Channel")


class Pool(Generic[Channel]):
    """Hands out channels in turn; may be shared by threads.

    Args:
        tls: whose files the channels are made from; None where there are none.
        make: makes all channels, from the files as they are.
        close: closes one of which no call is left.

    Raises:
        OSError: a file of TLS cannot be used.
    """

    def __init__(
        self,
        tls: Tls | None,
        make: Callable[[], list[Channel]],
        close: Callable[[Channel], object],
    ) -> None:
        self._tls = tls
        self._make = make
        self._close = close
        self._lock = threading.Lock()
        self._stamp = self._stamp_now()
        self._looked_s = time.monotonic()
        self._generation = _Generation(make())
        self._replaced: set[_Generation[Channel]] = set()

    @contextmanager
    def borrowed(self) -> Iterator[Channel]:
        """Yields the next channel, which stays open while it is borrowed."""
        self._replace_if_due()
        with self._lock:
            generation = self._generation
            generation.calls += 1
        try:
            yield generation.next()
        finally:
            with self._lock:
                generation.calls -= 1
                idle = [one for one in self._replaced if not one.calls]
                self._replaced.difference_update(idle)
            self._close_all(idle)

    def all(self) -> list[Channel]:
        """Returns every channel that is open, for whoever closes them all."""
        with self._lock:
            return [
                channel
                for generation in (self._generation, *self._replaced)
                for channel in generation.channels
            ]

    def _replace_if_due(self) -> None:
        if self._tls is None or time.monotonic() - self._looked_s < LOOK_S:
            return
        with self._lock:
            self._looked_s = time.monotonic()
            try:
                stamp = self._stamp_now()
                if stamp == self._stamp:
                    return
                fresh = _Generation(self._make())
            except OSError:
                # Half of the files may be replaced by now: the channels that are there
                # serve on, and the next look finds the rest.
                return
            self._stamp = stamp
            self._replaced.add(self._generation)
            self._generation = fresh
            idle = [one for one in self._replaced if not one.calls]
            self._replaced.difference_update(idle)
        self._close_all(idle)

    def _close_all(self, generations: list[_Generation[Channel]]) -> None:
        for generation in generations:
            for channel in generation.channels:
                self._close(channel)

    def _stamp_now(self) -> Stamp:
        return self._tls.stamp() if self._tls else ()


class _Generation(Generic[Channel]):
    """Channels that were made together, and how many calls they have."""

    def __init__(self, channels: list[Channel]) -> None:
        self.channels = channels
        self.calls = 0
        self._count = itertools.count()

    def next(self) -> Channel:
        """Returns the next one."""
        return self.channels[next(self._count) % len(self.channels)]


def expect_channels(channels: int) -> int:
    """Returns the number of channels.

    Raises:
        ValueError: it is out of its range.
    """
    if not 1 <= channels <= CHANNELS_LIMIT:
        raise ValueError(f"channels is 1..{CHANNELS_LIMIT}; {channels} was given.")
    return channels
