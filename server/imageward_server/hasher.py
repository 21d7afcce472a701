"""Uploads to their hashes: the one way by which image bytes come in.

What faces strangers' bytes is behind three methods. The server has `cage.Cage` do it in
processes of their own; where that is not wanted, such as in a test of something else,
`InProcessHasher` does it here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from imageward_index.fingerprint import Fingerprint
from imageward_index.picture import Parts, Picture, fingerprint_image, open_picture, shrink_image


class Hasher(Protocol):
    """What the services ask of whoever opens images. Safe under concurrent use."""

    def start(self) -> None:
        """Return when images can be opened."""

    def close(self) -> None:
        """Open no more."""

    def look(self, image: bytes, deadline: float | None = None) -> AbstractContextManager[Parts]:
        """Open an upload to be checked; its hashes are taken as they are asked for.

        Args:
            image: the file.
            deadline: when the caller gives up, as `time.monotonic` tells it.

        Raises:
            InvalidImage: it is no image, or over a bound.
            Overloaded: it takes long, and there is no room for that.
        """

    def fingerprint(self, image: bytes, deadline: float | None = None) -> Fingerprint:
        """Take all hashes of an image, to be banked; raises as `look` does."""

    def view(self, image: bytes, deadline: float | None = None) -> NDArray[np.uint8]:
        """Shrink an image for a person to look at; raises as `look` does.

        Returns:
            (H, W) uint8 in grey, 1..1,024 a side.
        """


class InProcessHasher:
    """Hashes in this process, without a limit of time or memory."""

    def start(self) -> None:
        """Return at once."""

    def close(self) -> None:
        """Return at once."""

    @contextmanager
    def look(self, image: bytes, deadline: float | None = None) -> Iterator[Picture]:
        """Open an upload to be checked; its hashes are taken as they are asked for."""
        del deadline  # nothing here can be stopped
        yield open_picture(image)

    def fingerprint(self, image: bytes, deadline: float | None = None) -> Fingerprint:
        """Take all hashes of an image, to be banked."""
        del deadline
        return fingerprint_image(image)

    def view(self, image: bytes, deadline: float | None = None) -> NDArray[np.uint8]:
        """Shrink an image for a person to look at."""
        del deadline
        return shrink_image(image)
