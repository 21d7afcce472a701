"""Whether a picture can be taken: decodable, with detail, and nothing but a picture."""

from __future__ import annotations

import re
from typing import Final

from imageward_index.errors import LowQuality
from imageward_index.pdq import QUALITY_MIN
from imageward_server.errors import PolyglotPicture
from imageward_server.hasher import Hasher

# Readers of PDF look for its header here, readers of ZIP for the end record there.
_PDF_BYTES: Final = 1024
_ZIP_END: Final = b"PK\x05\x06"
_ZIP_END_BYTES: Final = 22
_ZIP_BYTES: Final = _ZIP_END_BYTES + 65_535
_MARKUP: Final = re.compile(rb"<(?:script|html|\?php)[\s>]", re.IGNORECASE)


def examine(hasher: Hasher, image: bytes) -> None:
    """Accept a picture that can be banked if reviewers say so.

    Raises:
        InvalidImage: it cannot be decoded within the bounds.
        LowQuality: it has too little detail, as a blank picture has.
        PolyglotPicture: it is another kind of file as well.
    """
    _refuse_polyglot(image)
    with hasher.look(image) as picture:
        quality = picture.whole.quality
    if quality < QUALITY_MIN:
        raise LowQuality(
            f"the picture has a quality of {quality} of 100, too little detail to be told "
            f"apart from others; send one of {QUALITY_MIN} or more",
            quality=quality,
            quality_min=QUALITY_MIN,
        )


def _refuse_polyglot(image: bytes) -> None:
    """Refuse a file that other programs read as a document, a page or an archive."""
    if b"%PDF-" in image[:_PDF_BYTES] or _MARKUP.search(image) or _ends_as_zip(image):
        raise PolyglotPicture(
            "the file is a picture and something else at once; send a screenshot of it"
        )


def _ends_as_zip(image: bytes) -> bool:
    return image.rfind(_ZIP_END, max(0, len(image) - _ZIP_BYTES), -(_ZIP_END_BYTES - 4)) >= 0
