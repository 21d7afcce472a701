"""An image to all that is hashed of it: for a bank, and for a check.

0. For a check a large JPEG is decoded at a reduced scale: enough pixels stay for the rest.
1. The whole picture gives its PDQ hash, in 8 orientations for a check.
2. `trim` finds its content, without borders, bars and chrome.
3. The content gives regions and grid: a screenshot is the picture in it, not the app.
"""

from __future__ import annotations

import ctypes
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from imageward_index.box import WHOLE_IMAGE, Box
from imageward_index.decode import cv2, decode_grey, decode_reduced
from imageward_index.fingerprint import Fingerprint, RegionalPart, round_regional
from imageward_index.geometry import Query, align, refine, verify
from imageward_index.grid import find_grid
from imageward_index.lazy_property import lazy_property
from imageward_index.pdq import OrientedHashes, hash_grey, hash_orientations
from imageward_index.pyramid import build_pyramid
from imageward_index.regions import (
    BANK_CODES_MAX,
    BANK_SIDE,
    QUERY_CODES_MAX,
    QUERY_SIDE,
    find_regions,
)
from imageward_index.trim import find_content

Grey = NDArray[np.uint8]

CHECK_SIDE_MIN: Final = 1_600
"""Pixels that the longer side of a large JPEG keeps at least; the shorter keeps half of them."""

VIEW_SIDE_MAX: Final = 1_024
"""Pixels that the longer side of a picture has at most where a person looks at it."""

# Of malloc.h.
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_MAPPED_BYTES_MIN: Final = 16_000_000
_KEPT_BYTES_MAX: Final = 64_000_000


class Parts(Protocol):
    """What a check looks up of a picture: plain arrays, wherever they were taken.

    A part that another process took may be handed over as it is; each is asked for only
    when its turn has come.
    """

    @property
    def whole(self) -> OrientedHashes:
        """The PDQ hashes of the picture."""

    @property
    def trimmed(self) -> OrientedHashes | None:
        """The PDQ hashes of its content; None where that is all of it."""

    @property
    def coarse(self) -> Query:
        """The regions of its content as a crop would show them: few, of larger features."""

    @property
    def fine(self) -> Query:
        """The regions of all of it, as many as a bank has: what is lost by a wrong trim is here."""


def open_picture(image: bytes) -> Picture:
    """Decode an image to be checked, a large JPEG at a reduced scale.

    That moves a hash as halving the pixels does, because PDQ's own filter steps with the
    size: by 2 to 4 bits mostly, and 12 at most over soft photographs of 4 to 12 megapixels.

    Raises:
        ImageTooLarge: over a bound of bytes, pixels, side or the memory there is.
        UnsupportedFormat: no bytes, or of no format that is read.
        UndecodableImage: torn, forged or over a bound of structure.
    """
    return Picture(decode_reduced(image, CHECK_SIDE_MIN))


def fingerprint_image(image: bytes) -> Fingerprint:
    """Decode an image in full and take all hashes of it, to be banked.

    A bank's hashes are exchanged, so they are those of all pixels.

    Raises:
        ImageTooLarge: over a bound of bytes, pixels, side or the memory there is.
        UnsupportedFormat: no bytes, or of no format that is read.
        UndecodableImage: torn, forged or over a bound of structure.
    """
    return take_fingerprint(decode_grey(image))


def shrink_image(image: bytes) -> Grey:
    """Decode an image for a person to look at, no larger than a screen.

    Returns:
        (H, W) uint8, upright, over white, 1..1,024 a side.

    Raises:
        ImageTooLarge: over a bound of bytes, pixels, side or the memory there is.
        UnsupportedFormat: no bytes, or of no format that is read.
        UndecodableImage: torn, forged or over a bound of structure.
    """
    grey = decode_reduced(image, VIEW_SIDE_MAX)
    scale = VIEW_SIDE_MAX / max(grey.shape)
    if scale >= 1:
        return grey
    height, width = (max(1, round(side * scale)) for side in grey.shape)
    return np.asarray(cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def warm_up() -> None:
    """Compile all that looks at pictures, or load it from its cache: before the first upload.

    It also has the C library keep the memory of one picture for the next, which is for the
    whole process.
    """
    _keep_memory()
    coarse = np.random.default_rng(0).integers(0, 256, (30, 40), dtype=np.uint8)
    grey = np.asarray(cv2.resize(coarse, (400, 300), interpolation=cv2.INTER_CUBIC), np.uint8)
    part = take_fingerprint(grey).regional
    query = Picture(grey).fine
    assert part is not None, "a fingerprint that was taken of pixels has a regional part"
    for inliers, to_bank in align(query, part.regions, [(0, 0)]):
        refine(
            query, part.regions, part.grid, verify(query, part.regions, part.grid, inliers, to_bank)
        )


def _keep_memory() -> None:
    """Keep freed memory up to a bound, where the C library can: glibc's can.

    Levels of pyramids are asked for and freed with every picture. Given back to the kernel
    and zeroed anew each time, they cost 2 of the 5 ms that the fine look takes.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES_MIN)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES_MAX)


def take_fingerprint(grey: Grey) -> Fingerprint:
    """Take all hashes of a grey picture (H, W), 0..255, to be banked."""
    content, box = _content(grey)
    pyramid = build_pyramid(content, BANK_SIDE)
    regions = find_regions(pyramid, BANK_CODES_MAX)
    part = RegionalPart(box, regions, find_grid(pyramid))
    return Fingerprint(hash_grey(grey), round_regional(part))


class Picture:
    """A picture that is checked; each of its hashes is taken when it is first asked for.

    Not safe for concurrent use: a check has its own.
    """

    def __init__(self, grey: Grey) -> None:
        self._grey = grey

    @lazy_property
    def whole(self) -> OrientedHashes:
        """The PDQ hashes of the picture."""
        return hash_orientations(self._grey)

    @lazy_property
    def trimmed(self) -> OrientedHashes | None:
        """The PDQ hashes of its content; None where that is all of it."""
        return None if self.box == WHOLE_IMAGE else hash_orientations(self._content[0])

    @property
    def box(self) -> Box:
        """Where its content lies."""
        return self._content[1]

    @lazy_property
    def coarse(self) -> Query:
        """The regions of its content as a crop would show them: few, of larger features."""
        return _query(self._content[0], self.box, QUERY_SIDE, QUERY_CODES_MAX)

    @lazy_property
    def fine(self) -> Query:
        """The regions of all of it, as many as a bank has: what is lost by a wrong trim is here."""
        return _query(self._grey, WHOLE_IMAGE, BANK_SIDE, BANK_CODES_MAX)

    @lazy_property
    def _content(self) -> tuple[Grey, Box]:
        return _content(self._grey)


def _query(grey: Grey, box: Box, side: int, codes_max: int) -> Query:
    pyramid = build_pyramid(grey, side)
    return Query(pyramid, find_regions(pyramid, codes_max), box)


def _content(grey: Grey) -> tuple[Grey, Box]:
    rows, columns = grey.shape
    found = find_content(grey)
    if found is None:
        return grey, WHOLE_IMAGE
    box = Box(
        found.left / columns,
        found.top / rows,
        (found.right - found.left) / columns,
        (found.bottom - found.top) / rows,
    )
    return np.ascontiguousarray(grey[found.top : found.bottom, found.left : found.right]), box
