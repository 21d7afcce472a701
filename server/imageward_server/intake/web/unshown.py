"""When a picture under review cannot be drawn: why, as its reviewer's page tells it.

A picture was decoded once when it came, so this is rare: it is slower or larger than it
looked, it ended the sandboxed process that opened it, or that process has no time.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from imageward_index.errors import InvalidImage, UndecodableImage
from imageward_server.errors import DeadlineExceeded, ImageTooCostly, Loading, Overloaded


class Why(enum.Enum):
    """Why a picture was not drawn; the template has the words."""

    COSTLY = "costly"
    BROKEN = "broken"
    UNREADABLE = "unreadable"
    BUSY = "busy"


# The first that fits: the errors of one picture are each an InvalidImage.
_WHYS: Final[tuple[tuple[type[Exception], Why], ...]] = (
    (ImageTooCostly, Why.COSTLY),
    (UndecodableImage, Why.BROKEN),
    (InvalidImage, Why.UNREADABLE),
    (Overloaded, Why.BUSY),
    (DeadlineExceeded, Why.BUSY),
    (Loading, Why.BUSY),
)


class Unshown(Exception):
    """A picture could not be drawn for its reviewer.

    Attributes:
        picture_id: the picture.
        why: the kind of failure.
    """

    def __init__(self, picture_id: str, why: Why) -> None:
        super().__init__(why.value)
        self.picture_id = picture_id
        self.why = why

    @property
    def status(self) -> int:
        """Return the status of HTTP: the file's fault, or the moment's."""
        return 503 if self.why is Why.BUSY else 422


@contextmanager
def drawing(picture_id: str) -> Iterator[None]:
    """Turn what decoding raises into one exception.

    Raises:
        Unshown: the picture cannot be drawn.
    """
    try:
        yield
    except tuple(kind for kind, _ in _WHYS) as error:
        why = next(why for kind, why in _WHYS if isinstance(error, kind))
        raise Unshown(picture_id, why) from error
