"""TIFF files made to hurt."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from functools import partial

import numpy as np

from imageward_bench.hostile.seeds import encode, flipped, noise, small

_LONG = 4
_PLAIN, _LZW, _DEFLATE, _PACKED, _FAX = 1, 5, 8, 32_773, 4
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_OFFSETS, _SAMPLES, _ROWS, _COUNTS = 273, 277, 278, 279
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_COUNTS = 322, 323, 324, 325


def file_of(tags: dict[int, int], pixels: bytes, following: int = 0) -> bytes:
    """A file with one directory of whole numbers, and pixels behind it."""
    start = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(
        struct.pack("<HHII", tag, _LONG, 1, start if value < 0 else value)
        for tag, value in sorted(tags.items())
    )
    head = b"II*\0" + struct.pack("<IH", 8, len(tags))
    return head + entries + struct.pack("<I", following) + pixels


def _striped(
    width: int, height: int, compression: int, pixels: bytes, *, bits: int = 8, samples: int = 1
) -> bytes:
    tags = {
        _WIDTH: width,
        _HEIGHT: height,
        _BITS: bits,
        _COMPRESSION: compression,
        _PHOTOMETRIC: 1,
        _OFFSETS: -1,
        _SAMPLES: samples,
        _ROWS: height,
        _COUNTS: len(pixels),
    }
    return file_of(tags, pixels)


def _tiled(width: int, height: int, tile: int) -> bytes:
    tags = {
        _WIDTH: width,
        _HEIGHT: height,
        _BITS: 8,
        _COMPRESSION: _DEFLATE,
        _PHOTOMETRIC: 1,
        _SAMPLES: 1,
        _TILE_WIDTH: tile,
        _TILE_HEIGHT: tile,
        _TILE_OFFSETS: -1,
        _TILE_COUNTS: 64,
    }
    return file_of(tags, zlib.compress(bytes(4_096)) + bytes(64))


def _deflated(width: int, height: int) -> bytes:
    return _striped(width, height, _DEFLATE, zlib.compress(bytes(width * height)))


def _many_entries(count: int) -> bytes:
    entries = struct.pack("<HHII", _WIDTH, _LONG, 1, 8) * count
    return b"II*\0" + struct.pack("<IH", 8, count) + entries + bytes(4)


FAMILIES: dict[str, Callable[[], bytes]] = {
    "96 MP deflated": partial(_deflated, 12_000, 8_000),
    "25 MP deflated": partial(_deflated, 5_000, 5_000),
    "96 MP and no pixels": partial(_striped, 12_000, 8_000, _PLAIN, b""),
    "96 MP of faxes": partial(_striped, 12_000, 8_000, _FAX, noise(50_000), bits=1),
    "64 samples a pixel": partial(_striped, 2_000, 2_000, _PLAIN, bytes(99), samples=64),
    "64 bits a sample": partial(_striped, 2_000, 2_000, _PLAIN, bytes(99), bits=64),
    "noise as LZW": partial(_striped, 2_000, 2_000, _LZW, noise(500_000)),
    "runs of one": partial(_striped, 5_000, 5_000, _PACKED, b"\0\0" * 5_000_000),
    "runs that are long": partial(_striped, 8_000, 8_000, _PACKED, b"\x81\0" * 600_000),
    "tiles larger than pictures": partial(_tiled, 64, 64, 65_520),
    "tiles smaller than pictures": partial(_tiled, 9_000, 9_000, 16),
    "tiles of no size": partial(_tiled, 64, 64, 0),
    "no sides": partial(_striped, 0, 0, _PLAIN, b""),
    "9 MP in colour": lambda: encode(np.zeros((3_000, 3_000, 3), np.uint8), ".tiff"),
    "directories in a circle": lambda: file_of(
        {_WIDTH: 8, _HEIGHT: 8, _BITS: 8, _COMPRESSION: 1, _OFFSETS: -1, _COUNTS: 64},
        bytes(64),
        following=8,
    ),
    "sixty thousand entries": partial(_many_entries, 60_000),
    "directory beyond the end": lambda: b"II*\0\xff\xff\xff\x7f" + bytes(99),
    "a directory of a BigTIFF": lambda: b"II+\0\x08\0\0\0\x10\0\0\0\0\0\0\0" + b"\xff" * 90,
    "torn": lambda: small(".tiff")[: len(small(".tiff")) // 2],
    "spoiled": lambda: flipped(small(".tiff"), 0.02, 8),
}
