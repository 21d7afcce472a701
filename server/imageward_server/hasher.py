"""Uploads to their hashes: the one way by which image bytes come in.

What faces strangers' bytes is behind two methods, so that it can be done elsewhere than
in the process that serves.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from imageward_index.fingerprint import Fingerprint
from imageward_index.picture import Picture, fingerprint_image, open_picture


class Hasher:
    """Hashes in this process. Safe under concurrent use."""

    @contextmanager
    def look(self, image: bytes) -> Iterator[Picture]:
        """Open an upload to be checked; its hashes are taken as they are asked for.

        Raises:
            InvalidInput: it is no image, or over a bound; see `decode.decode_grey`.
        """
        yield open_picture(image)

    def fingerprint(self, image: bytes) -> Fingerprint:
        """Take all hashes of an image, to be banked; raises as `look` does."""
        return fingerprint_image(image)
