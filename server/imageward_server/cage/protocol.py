"""What server, zygote and cell say to each other: small messages of one size, no pickles.

Over a socket go orders and answers of a few numbers; images and results lie in memory
that a server shares with one cell, an image on its way there, a result on its way back.
"""

from __future__ import annotations

import enum
import os
import struct
from typing import Final, NamedTuple, Self

from imageward_index.decode import IMAGE_BYTES_MAX

MEMORY_BYTES: Final = 20 * 2**20
"""Shared with each cell. Pages that were never touched take nothing."""

assert MEMORY_BYTES >= IMAGE_BYTES_MAX, "an image must fit"


DYING: Final = 2**32 - 1
"""In the place of the wait status of a cell that is killed and not gone yet."""


class Order(enum.IntEnum):
    """What a cell is asked for. A TAKE comes first, OPEN before anything of a picture."""

    TAKE = 1
    """Copy an image of so many bytes; the result is the time it is expected to take in full."""
    OPEN = 2
    """Decode it, to be checked."""
    WHOLE = 3
    TRIMMED = 4
    COARSE = 5
    FINE = 6
    FINGERPRINT = 7
    """Decode it and take its fingerprint, to be banked."""
    VIEW = 8
    """Decode it and shrink it, for a person to look at."""
    TAKE_REDUCED = 9
    """As TAKE, for OPEN or VIEW: these reduce a large JPEG while they decode it."""


class Outcome(enum.IntEnum):
    """How an order ended."""

    DONE = 0
    UNSUPPORTED_FORMAT = 1
    IMAGE_TOO_LARGE = 2
    UNDECODABLE_IMAGE = 3
    FAILED = 4
    """By a mistake of ours: the result is a traceback."""


class ZygoteOrder(enum.IntEnum):
    """What a zygote is asked for."""

    FORK = 1
    """Fork a cell on the two descriptors that come along; the answer is its process."""
    REAP = 2
    """Kill a cell if it lives; the answer is the KiB that it held at most, and its wait
    status, or DYING, which is none: ask again."""


class Message(NamedTuple):
    """Two numbers.

    Attributes:
        kind: an Order, Outcome, ZygoteOrder or Protection; of a reaped cell, KiB.
        value: bytes in the shared memory; of a zygote, a process or its status.
    """

    kind: int
    value: int = 0

    def pack(self) -> bytes:
        """Write it, `MESSAGE_BYTES` long."""
        return _MESSAGE.pack(self.kind, self.value)

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """Read it."""
        return cls(*_MESSAGE.unpack(data))


_MESSAGE: Final = struct.Struct("=II")
MESSAGE_BYTES: Final = _MESSAGE.size


def receive(descriptor: int) -> Message | None:
    """Read a message by plain reads, all that a cell may do; None at the other side's end."""
    data = b""
    while len(data) < MESSAGE_BYTES:
        part = os.read(descriptor, MESSAGE_BYTES - len(data))
        if not part:
            return None
        data += part
    return Message.unpack(data)


def send(descriptor: int, message: Message) -> None:
    """Write a message by a plain write; so few bytes always go at once."""
    os.write(descriptor, message.pack())
