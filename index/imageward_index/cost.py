"""How long an image will take to decode, told from what its header says.

A guess for planning, made in microseconds: seconds a pixel by format, of a JPEG also by how
much it is reduced and by its bytes, measured on one core of a server of 2024. A header that
lies, or is not understood, gives too small a guess, so whoever relies on it keeps a clock as
well. It knows no decoder.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from imageward_index.headers import JPEG_SCANS_MAX
from imageward_index.reduction import reduction

JPEG_PIXEL_S: Final = {1: 3e-9, 2: 1e-9, 4: 0.5e-9, 8: 0.5e-9}
"""By the factor of the reduction: pixels that are left out cost next to nothing."""

JPEG_BYTE_S: Final = 8e-9
"""More for each byte, which is unpacked whatever is left out."""

JPEG_SCAN_PIXEL_S: Final = 0.6e-9
"""More for each scan of a progressive JPEG, which has about ten; nothing of it is left out."""

JPEG_SCAN_BYTE_S: Final = 4e-9
"""More for each of its bytes."""

PNG_PIXEL_S: Final = 22e-9
PNG_PIXEL_BYTES_MAX: Final = 8
PNG_OTHER_BYTES: Final = 65_536
"""For what is no pixels, such as texts and colour profiles."""

PNG_EXCESS_BYTE_S: Final = 0.25e-6
"""A byte can unpack to a thousand."""

WEBP_PIXEL_S: Final = 17e-9
AVIF_PIXEL_S: Final = 40e-9
GIF_PIXEL_S: Final = 27e-9
TIFF_PIXEL_S: Final = 9e-9
BMP_PIXEL_S: Final = 2e-9

_PROGRESSIVE: Final = (b"\xc2", b"\xc6", b"\xca", b"\xce")
_MARKERS_MAX: Final = 256
_TIFF_ENTRIES_MAX: Final = 64
_TIFF_WIDTH: Final = 256
_TIFF_HEIGHT: Final = 257


def expected_s(data: bytes, longer_side_min: int | None = None) -> float:
    """Guess the seconds that an image takes to decode; 0.0 if its header says nothing.

    Never raises, whatever the bytes are.

    Args:
        data: the file.
        longer_side_min: what `decode.decode_reduced` will be given; None for a decoding in full.
    """
    if _JPEG.match(data):
        return _jpeg(data, longer_side_min)
    for magic, guess in _GUESSES:
        if magic.match(data):
            return guess(data)
    return 0.0


def _jpeg(data: bytes, longer_side_min: int | None) -> float:
    """Go from marker to marker up to the frame header, SOF0..SOF15."""
    position = 2
    for _ in range(_MARKERS_MAX):
        marker = data[position + 1 : position + 2]
        if b"\xc0" <= marker <= b"\xcf" and marker not in b"\xc4\xc8\xcc":
            sides = _big(data, position + 5, 2), _big(data, position + 7, 2)
            factor = 1 if longer_side_min is None else reduction(sides, longer_side_min)
            pixels = sides[0] * sides[1]
            once_s = pixels * JPEG_PIXEL_S[factor] + len(data) * JPEG_BYTE_S
            return once_s + (_scans_s(data, pixels) if marker in _PROGRESSIVE else 0.0)
        position += 2 + _big(data, position + 2, 2)
    return 0.0


def _scans_s(data: bytes, pixels: int) -> float:
    """Guess what a progressive JPEG takes beyond a baseline one, whose few scans cost nothing."""
    scans = min(data.count(b"\xff\xda"), JPEG_SCANS_MAX)
    return pixels * scans * JPEG_SCAN_PIXEL_S + len(data) * JPEG_SCAN_BYTE_S


def _png(data: bytes) -> float:
    """By its pixels, and by the bytes that are more than they can take."""
    pixels = _big(data, 16, 4) * _big(data, 20, 4)
    excess = max(0, len(data) - pixels * PNG_PIXEL_BYTES_MAX - PNG_OTHER_BYTES)
    return pixels * PNG_PIXEL_S + excess * PNG_EXCESS_BYTE_S


def _webp(data: bytes) -> float:
    """RFC 9649: the canvas of VP8X, the 14 bits of VP8L, those of a VP8 key frame."""
    kind = data[12:16]
    if kind == b"VP8X":
        pixels = (_little(data, 24, 3) + 1) * (_little(data, 27, 3) + 1)
    elif kind == b"VP8L":
        packed = _little(data, 21, 4)
        pixels = ((packed & 0x3FFF) + 1) * ((packed >> 14 & 0x3FFF) + 1)
    else:
        pixels = (_little(data, 26, 2) & 0x3FFF) * (_little(data, 28, 2) & 0x3FFF)
    return pixels * WEBP_PIXEL_S


def _avif(data: bytes) -> float:
    """The largest `ispe` property, ISO/IEC 23008-12, wherever it stands."""
    pixels = (
        _big(data, found.end() + 4, 4) * _big(data, found.end() + 8, 4)
        for found in re.finditer(b"ispe", data[:65_536])
    )
    return max(pixels, default=0) * AVIF_PIXEL_S


def _gif(data: bytes) -> float:
    return _little(data, 6, 2) * _little(data, 8, 2) * GIF_PIXEL_S


def _tiff(data: bytes) -> float:
    """Width and height of the first directory; a BigTIFF is not read."""
    number = _little if data.startswith(b"II") else _big
    first = number(data, 4, 4)
    sides = {}
    for entry in range(min(number(data, first, 2), _TIFF_ENTRIES_MAX)):
        at = first + 2 + 12 * entry
        width = 2 if number(data, at + 2, 2) == 3 else 4  # noqa: PLR2004 a SHORT
        sides[number(data, at, 2)] = number(data, at + 8, width)
    return sides.get(_TIFF_WIDTH, 0) * sides.get(_TIFF_HEIGHT, 0) * TIFF_PIXEL_S


def _bmp(data: bytes) -> float:
    rows = int.from_bytes(data[22:26], "little", signed=True)
    return _little(data, 18, 4) * abs(rows) * BMP_PIXEL_S


def _big(data: bytes, at: int, width: int) -> int:
    return int.from_bytes(data[at : at + width], "big")


def _little(data: bytes, at: int, width: int) -> int:
    return int.from_bytes(data[at : at + width], "little")


_JPEG: Final = re.compile(rb"\xff\xd8\xff")
_GUESSES: Final[tuple[tuple[re.Pattern[bytes], Callable[[bytes], float]], ...]] = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), _png),
    (re.compile(rb"RIFF.{4}WEBP", re.DOTALL), _webp),
    (re.compile(rb"GIF8[79]a"), _gif),
    (re.compile(rb".{4}ftyp", re.DOTALL), _avif),
    (re.compile(rb"II\*\x00|MM\x00\*"), _tiff),
    (re.compile(rb"BM"), _bmp),
)
