"""WebP files made to hurt."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial

import numpy as np

from imageward_bench.hostile.seeds import encode, flipped, noise, small
from imageward_index.decode import cv2

LOSSLESS = (cv2.IMWRITE_WEBP_QUALITY, 101)
_SIDE_MAX = 16_383


def riff(*chunks: bytes) -> bytes:
    """A file of chunks."""
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk, filled up to an even length."""
    return kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def _extended(flags: int, width: int, height: int) -> bytes:
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return chunk(b"VP8X", bytes([flags, 0, 0, 0]) + sides)


def _lossy(width: int, height: int) -> bytes:
    """A key frame that claims other sides."""
    data = small(".webp")
    return data[:26] + struct.pack("<HH", width, height) + data[30:]


def _lossless(width: int, height: int) -> bytes:
    data = small(".webp", *LOSSLESS)
    packed = (width - 1) | (height - 1) << 14
    return data[:21] + struct.pack("<I", packed) + data[25:]


def _animated(frames: int) -> bytes:
    picture = small(".webp")[12:]
    place = bytes(6) + (127).to_bytes(3, "little") + (95).to_bytes(3, "little") + bytes(4)
    many = [chunk(b"ANMF", place + picture)] * frames
    return riff(_extended(2, 128, 96), chunk(b"ANIM", bytes(6)), *many)


FAMILIES: dict[str, Callable[[], bytes]] = {
    "9 MP": lambda: encode(np.zeros((3_000, 3_000, 3), np.uint8), ".webp"),
    "9 MP lossless": lambda: encode(np.zeros((3_000, 3_000, 3), np.uint8), ".webp", *LOSSLESS),
    "268 MP": partial(_lossy, _SIDE_MAX, _SIDE_MAX),
    "98 MP and no pixels": partial(_lossy, _SIDE_MAX, 6_000),
    "49 MP and no pixels": partial(_lossy, 7_000, 7_000),
    "98 MP lossless and no pixels": partial(_lossless, _SIDE_MAX, 6_000),
    "49 MP lossless and no pixels": partial(_lossless, 7_000, 7_000),
    "canvas larger than its frame": lambda: riff(_extended(0, 9_000, 9_000), small(".webp")[12:]),
    "canvas of 2^48 pixels": lambda: riff(_extended(2, 2**24, 2**24), small(".webp")[12:]),
    "two thousand frames": partial(_animated, 2_000),
    "animation without frames": partial(_animated, 0),
    "alpha of noise": lambda: riff(
        _extended(16, 128, 96), chunk(b"ALPH", b"\1" + noise(9_000)), small(".webp")[12:]
    ),
    "forged length": lambda: small(".webp")[:16] + b"\xff\xff\xff\x7f" + small(".webp")[20:],
    "torn": lambda: small(".webp")[:-1_000],
    "torn lossless": lambda: small(".webp", *LOSSLESS)[:-9_000],
    "spoiled": lambda: flipped(small(".webp"), 0.02, 30),
    "spoiled lossless": lambda: flipped(small(".webp", *LOSSLESS), 0.02, 25),
}
