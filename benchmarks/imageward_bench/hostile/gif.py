"""GIF files made to hurt."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache, partial

import numpy as np

from imageward_bench.hostile.seeds import encode, flipped, noise, small

_GLOBAL_PALETTE = 0x80
# Codes of two bits a pixel, the least that a GIF may have.
_CLEAR, _END, _FIRST, _LAST = 4, 5, 6, 4_095


def canvas(width: int, height: int) -> bytes:
    """The head of a file with two colours."""
    return b"GIF89a" + struct.pack("<HHBBB", width, height, _GLOBAL_PALETTE, 0, 0) + bytes(6)


def frame(width: int, height: int, packed: bytes, left: int = 0, top: int = 0) -> bytes:
    """An image block of packed pixels, in sub-blocks."""
    blocks = (packed[at : at + 255] for at in range(0, len(packed), 255))
    body = b"".join(bytes([len(block)]) + block for block in blocks)
    return b"," + struct.pack("<HHHHB", left, top, width, height, 0) + b"\x02" + body + b"\0"


@cache
def packed_flat(pixels: int) -> bytes:
    """LZW of black pixels: after a clear each code stands for one more than the last."""
    codes = [(_CLEAR, 3)]
    left, width = pixels, 3
    while left > 0:
        codes.append((0, 3))
        left -= 1
        code, width = _FIRST, 3
        while left > code - _FIRST + 1 and code < _LAST:
            width += code >= 1 << width
            codes.append((code, width))
            left -= code - _FIRST + 2
            code += 1
        width = min(width + (code >= 1 << width), 12)
        codes.append((_CLEAR if left > 0 else _END, width))
    return _bits(codes)


def _bits(codes: list[tuple[int, int]]) -> bytes:
    flags = [code >> bit & 1 for code, width in codes for bit in range(width)]
    return np.packbits(np.array(flags, np.uint8), bitorder="little").tobytes()


def _bomb(width: int, height: int) -> bytes:
    return canvas(width, height) + frame(width, height, packed_flat(width * height)) + b";"


def _frames(count: int) -> bytes:
    return canvas(64, 64) + frame(64, 64, packed_flat(64 * 64)) * count + b";"


FAMILIES: dict[str, Callable[[], bytes]] = {
    "98 MP": partial(_bomb, 16_384, 6_000),
    "25 MP": partial(_bomb, 5_000, 5_000),
    "9 MP": lambda: encode(np.zeros((3_000, 3_000, 3), np.uint8), ".gif"),
    "canvas without a frame": lambda: canvas(16_000, 6_000) + b";",
    "large canvas, small frame": lambda: canvas(5_000, 5_000) + frame(8, 8, packed_flat(64)) + b";",
    "frame beyond its canvas": lambda: canvas(8, 8) + frame(9_000, 9_000, packed_flat(64)) + b";",
    "frame beside its canvas": lambda: (
        canvas(8, 8) + frame(8, 8, packed_flat(64), 9_000, 9_000) + b";"
    ),
    "two thousand frames": partial(_frames, 2_000),
    "endless extensions": lambda: canvas(8, 8) + b"!\xf9\x04\0\0\0\0\0" * 500_000,
    "endless comment": lambda: canvas(8, 8) + b"!\xfe" + (b"\xff" + bytes(255)) * 40_000,
    "no sides": lambda: canvas(0, 0) + frame(0, 0, packed_flat(1)) + b";",
    "noise as pixels": lambda: canvas(900, 900) + frame(900, 900, noise(90_000)) + b";",
    "torn": lambda: small(".gif")[:-3_000],
    "spoiled": lambda: flipped(small(".gif"), 0.02, 13),
}
