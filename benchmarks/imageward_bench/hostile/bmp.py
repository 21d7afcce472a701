"""BMP files made to hurt."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial

import numpy as np

from imageward_bench.hostile.seeds import encode, flipped, noise, small

_HEAD = 54


def file_of(
    width: int,
    height: int,
    pixels: bytes,
    *,
    bits: int = 24,
    compression: int = 0,
    colours: int = 0,
    offset: int = _HEAD,
) -> bytes:
    """A file of a head, perhaps a palette, and pixels."""
    head = struct.pack("<IHHI", len(pixels) + offset, 0, 0, offset)
    info = (40, width, height, 1, bits, compression, len(pixels), 0, 0, colours, 0)
    return b"BM" + head + struct.pack("<IiiHHIIiiII", *info) + pixels


def _runs(width: int, height: int, run: bytes) -> bytes:
    """RLE: runs of pixels of one shade."""
    palette = bytes(1_024)
    pixels = palette + run * (width * height // 255 + 1) + b"\0\1"
    return file_of(width, height, pixels, bits=8, compression=1, offset=_HEAD + len(palette))


FAMILIES: dict[str, Callable[[], bytes]] = {
    "98 MP and no pixels": partial(file_of, 16_384, 6_000, b""),
    "98 MP of runs": partial(_runs, 16_384, 6_000, b"\xff\0"),
    "98 MP of ends": partial(_runs, 16_384, 6_000, b"\0\0"),
    "25 MP of jumps": partial(_runs, 5_000, 5_000, b"\0\2\1\1"),
    "upside down and no pixels": partial(file_of, 9_000, -9_000, b""),
    "least height": partial(file_of, 8, -(2**31), bytes(200)),
    "no width": partial(file_of, 0, 8, bytes(200)),
    "less than no width": partial(file_of, -8, 8, bytes(200)),
    "13 bits": partial(file_of, 8, 8, bytes(200), bits=13),
    "four billion colours": partial(file_of, 8, 8, bytes(2_000), bits=8, colours=2**32 - 1),
    "pixels beyond the end": partial(file_of, 8, 8, bytes(200), offset=2**31 - 1),
    "unknown compression": partial(file_of, 8, 8, bytes(200), compression=99),
    "noise as runs": lambda: file_of(900, 900, noise(90_000), bits=8, compression=1),
    "5 MP": lambda: encode(np.zeros((2_200, 2_200, 3), np.uint8), ".bmp"),
    "torn": lambda: small(".bmp")[: len(small(".bmp")) // 2],
    "spoiled": lambda: flipped(small(".bmp"), 0.02, 14),
}
