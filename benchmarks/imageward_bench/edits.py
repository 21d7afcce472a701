"""What happens to a picture between two uploads: the edits of the demo.

An edit takes a colour picture, uint8 of shape (height, width, 3) in OpenCV's order
blue, green, red, and returns the bytes of an upload.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Edit = Callable[[Picture], bytes]

NOISE_SEED = 20
NOISE_SIGMA = 8.0
# EXIF's number for "the row 0 of this file is the right side of the scene".
EXIF_ROTATE_90_CLOCKWISE = 6


def decode(image: bytes) -> Picture:
    """Decode an upload to colour."""
    picture = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return picture.astype(np.uint8, copy=False)


def encode(picture: Picture, extension: str = ".png", *options: int) -> bytes:
    """Encode a picture in the format of a file's extension, with OpenCV's options."""
    done, image = cv2.imencode(extension, picture, options)
    assert done
    return image.tobytes()


def jpeg(picture: Picture, quality: int = 95) -> bytes:
    """Encode as JPEG of a quality, 0..100."""
    return encode(picture, ".jpg", cv2.IMWRITE_JPEG_QUALITY, quality)


def exif_rotated(picture: Picture) -> bytes:
    """Turn the pixels a quarter, and say in EXIF how to turn them back."""
    image = jpeg(cv2.rotate(picture, cv2.ROTATE_90_COUNTERCLOCKWISE).astype(np.uint8))
    # A TIFF header, one directory with one entry: tag 0x0112 (orientation), a short.
    tiff = b"MM\0*\0\0\0\x08" + b"\0\x01" + b"\x01\x12\0\x03\0\0\0\x01"
    tiff += EXIF_ROTATE_90_CLOCKWISE.to_bytes(2) + b"\0\0" + b"\0\0\0\0"
    segment = b"Exif\0\0" + tiff
    return image[:2] + b"\xff\xe1" + (len(segment) + 2).to_bytes(2) + segment + image[2:]


def _resized(scale: float) -> Edit:
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return lambda picture: jpeg(
        _picture(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=interpolation))
    )


def _brighter(picture: Picture) -> bytes:
    return jpeg(_picture(cv2.convertScaleAbs(picture, alpha=1.3)))


def _gamma(picture: Picture) -> bytes:
    table = (255 * (np.arange(256) / 255) ** 0.7).astype(np.uint8)
    return jpeg(_picture(cv2.LUT(picture, table)))


def _grey(picture: Picture) -> bytes:
    return jpeg(_picture(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)))


def _blurred(picture: Picture) -> bytes:
    return jpeg(_picture(cv2.GaussianBlur(picture, (0, 0), 1.5)))


def _noisy(picture: Picture) -> bytes:
    noise = np.random.default_rng(NOISE_SEED).normal(0, NOISE_SIGMA, picture.shape)
    return jpeg(np.clip(picture + noise, 0, 255).astype(np.uint8))


def _turned(quarters: int, *, mirrored: bool) -> Edit:
    def edit(picture: Picture) -> bytes:
        turned = np.rot90(np.fliplr(picture) if mirrored else picture, quarters)
        return jpeg(np.ascontiguousarray(turned))

    return edit


def _picture(array: cv2.typing.MatLike) -> Picture:
    return array.astype(np.uint8, copy=False)


EDITS: dict[str, Edit] = {
    "JPEG quality 30": lambda picture: jpeg(picture, 30),
    "PNG": encode,
    "WebP quality 60": lambda picture: encode(picture, ".webp", cv2.IMWRITE_WEBP_QUALITY, 60),
    "half size": _resized(0.5),
    "double size": _resized(2),
    "brightness +30 %": _brighter,
    "gamma 0.7": _gamma,
    "greyscale": _grey,
    "light blur": _blurred,
    "light noise": _noisy,
    "turned 90": _turned(1, mirrored=False),
    "turned 180": _turned(2, mirrored=False),
    "turned 270": _turned(3, mirrored=False),
    "mirrored": _turned(0, mirrored=True),
    "mirrored, turned 90": _turned(1, mirrored=True),
    "mirrored, turned 180": _turned(2, mirrored=True),
    "mirrored, turned 270": _turned(3, mirrored=True),
    "EXIF-rotated": exif_rotated,
}
