"""Bytes to an upright grey picture, within bounds. The one file that decodes.

1. Bound the bytes.
2. Recognise the format and check its structure (`headers`).
3. Decode with OpenCV, which refuses by its own limits before it allocates.
4. Lay transparency over white, turn upright.

It knows nothing of hashes. It is safe to call from many threads, but it is not a
cage: whoever faces strangers runs it in a process with a memory limit and a
clock. libjpeg and libpng may warn on stderr, which no setting of OpenCV stops.
"""

from __future__ import annotations

import os
import struct
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from imageward_index.errors import ImageTooLarge, UndecodableImage, UnsupportedFormat
from imageward_index.headers import JPEG_SCANS_MAX, Header, Turn, read_exif_turn, read_header
from imageward_index.reduction import reduction

__all__ = [
    "IMAGE_BYTES_MAX",
    "IMAGE_PIXELS_MAX",
    "IMAGE_SIDE_MAX",
    "JPEG_SCANS_MAX",
    "cv2",
    "decode_grey",
    "decode_reduced",
]

IMAGE_BYTES_MAX: Final = 20_000_000
IMAGE_PIXELS_MAX: Final = 100_000_000
IMAGE_SIDE_MAX: Final = 16_384

# OpenCV reads its limits once, when it is loaded.
os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"] = str(IMAGE_PIXELS_MAX)
os.environ["OPENCV_IO_MAX_IMAGE_WIDTH"] = str(IMAGE_SIDE_MAX)
os.environ["OPENCV_IO_MAX_IMAGE_HEIGHT"] = str(IMAGE_SIDE_MAX)

import cv2  # noqa: E402 the limits come first

# One thread a process: the server runs as many processes as there are cores.
cv2.setNumThreads(1)
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

Grey: TypeAlias = NDArray[np.uint8]
Pixels: TypeAlias = NDArray[np.integer | np.floating]

# 16 bits to 8: 65,535 is 255 times 257.
_BYTE_PER_WORD: Final = 1 / 257
# What OpenCV's refusals by a limit have in common.
_LIMIT_NAME: Final = "CV_IO_MAX_IMAGE_"
# How OpenCV is told what `reduction` says.
_REDUCED: Final = {
    1: cv2.IMREAD_GRAYSCALE,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
}


def decode_grey(data: bytes) -> Grey:
    """Decode an image as a person sees it: upright, over white, in grey.

    JPEG, PNG, WebP, GIF, AVIF, TIFF and BMP are told by their first bytes. Of an
    animation the first frame is read, of an animated PNG the still image. Grey is
    0.299 R + 0.587 G + 0.114 B; a JPEG gives its own luminance, which is never
    converted to colour: over 500 photographs hashes differ from the long way by
    2 bits at most. Of a torn JPEG the rest is grey, as in a browser; all other
    torn files are refused.

    Args:
        data: the file, 1..20,000,000 bytes.

    Returns:
        (H, W) uint8, C-contiguous, 1..16,384 a side and 100,000,000 in all.

    Raises:
        ImageTooLarge: over a bound of bytes, pixels, side or the memory there is.
        UnsupportedFormat: no bytes, another format, or samples of neither 8 nor
            16 bits.
        UndecodableImage: torn, forged or over a bound of structure.
    """
    return decode_reduced(data)


def decode_reduced(data: bytes, longer_side_min: int = IMAGE_SIDE_MAX) -> Grey:
    """Decode as `decode_grey` does, but a large JPEG at 1/2, 1/4 or 1/8 of its sides.

    libjpeg then leaves out the high frequencies, which costs less and moves a PDQ hash by
    a few bits. Other formats are decoded in full.

    Args:
        data: the file, 1..20,000,000 bytes.
        longer_side_min: pixels that the longer side keeps; the shorter keeps half of them.

    Raises:
        ImageTooLarge: as `decode_grey`.
        UnsupportedFormat: likewise.
        UndecodableImage: likewise.
    """
    if len(data) > IMAGE_BYTES_MAX:
        raise ImageTooLarge(
            f"the image has {len(data)} bytes, the most is {IMAGE_BYTES_MAX}; send a smaller copy",
            bytes=len(data),
            bytes_max=IMAGE_BYTES_MAX,
        )
    try:
        return np.ascontiguousarray(_decode(read_header(data), longer_side_min))
    except cv2.error as error:
        raise _refusal(error) from error
    except MemoryError as error:
        raise _memory_refusal() from error


def _decode(header: Header, longer_side_min: int) -> Grey:
    encoded = np.frombuffer(header.payload, np.uint8)
    if not header.has_alpha:
        sides = header.jpeg_sides
        factor = 1 if sides is None else reduction(sides, longer_side_min)
        return _in_bytes(_decoded(cv2.imdecode(encoded, _REDUCED[factor])))
    # The flag that keeps alpha is also the one that ignores EXIF.
    picture, kinds, blocks = cv2.imdecodeWithMetadata(encoded, cv2.IMREAD_UNCHANGED)
    pixels = _decoded(picture)
    grey = _over_white(pixels, header)
    if header.turn is not None:
        return _turned(grey, header.turn)
    exif = dict(zip(kinds, blocks, strict=True)).get(cv2.IMAGE_METADATA_EXIF)
    return grey if exif is None else _turned(grey, read_exif_turn(np.asarray(exif).tobytes()))


def _decoded(pixels: Pixels | None) -> Pixels:
    """OpenCV gives nothing where it cannot read, without saying why."""
    if pixels is None or pixels.size == 0:
        raise UndecodableImage("the image is torn or forged; encode it anew")
    return pixels


def _in_bytes(pixels: Pixels) -> Grey:
    """Scale 16 bits to 8."""
    if pixels.dtype == np.uint8:
        return pixels.view(np.uint8)
    if pixels.dtype == np.uint16:
        return np.asarray(cv2.convertScaleAbs(pixels, alpha=_BYTE_PER_WORD), np.uint8)
    raise UnsupportedFormat(
        f"the image has samples of type {pixels.dtype}; convert them to 8 or 16 bits",
        dtype=pixels.dtype,
    )


def _over_white(pixels: Pixels, header: Header) -> Grey:
    """Grey with transparency laid over white, so that a hidden colour stays hidden.

    Grey is linear in the colours, so it may be blended in their place.
    """
    shades = _in_bytes(pixels)
    if shades.ndim == 2:  # noqa: PLR2004 rows and columns
        clear = header.clear_level
        return shades if clear is None else np.where(pixels == clear, np.uint8(255), shades)
    if shades.shape[2] == 3:  # noqa: PLR2004 blue, green and red
        return np.asarray(cv2.cvtColor(shades, cv2.COLOR_BGR2GRAY), np.uint8)
    grey = cv2.cvtColor(shades, cv2.COLOR_BGRA2GRAY)
    alpha = cv2.extractChannel(shades, 3)
    if header.premultiplied and pixels.dtype == np.uint8:
        return np.asarray(cv2.add(grey, cv2.bitwise_not(alpha)), np.uint8)
    darkness = cv2.multiply(cv2.bitwise_not(grey), alpha, scale=1 / 255)
    return np.asarray(cv2.bitwise_not(darkness), np.uint8)


def _turned(grey: Grey, turn: Turn) -> Grey:
    upright = np.rot90(grey, turn.quarters)
    return np.fliplr(upright) if turn.mirrored else upright


def _refusal(error: cv2.error) -> ImageTooLarge | UndecodableImage:
    """What OpenCV's exception says, as one of ours.

    Only its text is its own: the attributes are of the class, and so of every thread.
    """
    text = str(error)
    if _LIMIT_NAME in text:
        return ImageTooLarge(
            f"the image is over {IMAGE_PIXELS_MAX} pixels or {IMAGE_SIDE_MAX} a side; "
            "send a smaller copy",
            pixels_max=IMAGE_PIXELS_MAX,
            side_max=IMAGE_SIDE_MAX,
        )
    if f"({cv2.Error.StsNoMem}:" in text:
        return _memory_refusal()
    return UndecodableImage("the image is torn or forged; encode it anew")


def _memory_refusal() -> ImageTooLarge:
    return ImageTooLarge("the image takes more memory than there is; send a smaller copy")


def _require_limits() -> None:
    """Fail at the start if another module loaded OpenCV first, and so without limits."""
    header = b"BM" + struct.pack("<I4xIIiiHH24x", 54, 54, 40, IMAGE_SIDE_MAX + 1, 1, 1, 24)
    try:
        cv2.imdecode(np.frombuffer(header, np.uint8), cv2.IMREAD_GRAYSCALE)
    except cv2.error as error:
        if _LIMIT_NAME in str(error):
            return
    raise ImportError("import imageward_index.decode before cv2: OpenCV was loaded without limits")


_require_limits()
