"""What a reviewer sees of a picture: grey, no larger than a screen, with the viewer's name.

The bytes that were uploaded never reach a browser: they are drawn anew, so nothing hidden
in them does, and a photograph of the screen names who looked. Grey, because it spares those
who look at such pictures all day. Nothing is written to disk. Nothing is decoded here: who
opens images, a cage in the intake, hands over pixels.
"""

from __future__ import annotations

import io
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from imageward_server.hasher import Hasher

_LETTERS_PX: Final = 20
_STEP_X_PX: Final = 280
_STEP_Y_PX: Final = 90
_OPACITY: Final = 110
_JPEG_QUALITY: Final = 80


def draw_for(reviewer: str, hasher: Hasher, image: bytes) -> bytes:
    """Draw a picture for a reviewer, as a JPEG of 1,024 pixels a side at most.

    Raises:
        InvalidImage: it cannot be decoded within the bounds.
        Overloaded: it takes long, and there is no room for that.
    """
    shown = Image.fromarray(hasher.view(image))
    marked = Image.alpha_composite(shown.convert("RGBA"), _watermark(reviewer, shown.size))
    out = io.BytesIO()
    marked.convert("L").save(out, "JPEG", quality=_JPEG_QUALITY)
    return out.getvalue()


def _watermark(text: str, size: tuple[int, int]) -> Image.Image:
    """Write a name all over, dark and light, so that no crop is without it."""
    layer = Image.new("RGBA", size, (0, 0, 0, 0))
    pen = ImageDraw.Draw(layer)
    font = ImageFont.load_default(_LETTERS_PX)
    for row, top in enumerate(range(0, size[1] + _STEP_Y_PX, _STEP_Y_PX)):
        for left in range(-(row % 2) * _STEP_X_PX // 2, size[0], _STEP_X_PX):
            pen.text((left + 1, top + 1), text, fill=(0, 0, 0, _OPACITY), font=font)
            pen.text((left, top), text, fill=(255, 255, 255, _OPACITY), font=font)
    return layer
