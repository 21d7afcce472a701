"""JPEG files made to hurt."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache, partial

import numpy as np

from imageward_bench.hostile.seeds import encode, flipped, noise, small
from imageward_index.decode import cv2

PROGRESSIVE = (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
RESTARTING = (cv2.IMWRITE_JPEG_RST_INTERVAL, 1)
SCAN, END = b"\xff\xda", b"\xff\xd9"


def segment(marker: int, body: bytes) -> bytes:
    """A marker with its length and body."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def resized(data: bytes, width: int, height: int) -> bytes:
    """Let the frame header claim other sides."""
    for marker in (b"\xff\xc0", b"\xff\xc2"):
        at = data.find(marker)
        if at >= 0:
            return data[: at + 5] + struct.pack(">HH", height, width) + data[at + 9 :]
    raise AssertionError("a JPEG has a frame header")


@cache
def _flat(width: int, height: int, *options: int) -> bytes:
    return encode(np.full((height, width), 128, np.uint8), ".jpg", *options)


def scanned(data: bytes, scans: int) -> bytes:
    """Repeat the last scan of a progressive JPEG until there are so many."""
    last = data.rindex(SCAN)
    more = scans - data.count(SCAN)
    return data[:last] + data[last:-2] * (more + 1) + END


def _with(data: bytes, *segments: bytes) -> bytes:
    return data[:2] + b"".join(segments) + data[2:]


def _sampled(factors: int) -> bytes:
    """Let the first component have other sampling factors."""
    data = small(".jpg")
    at = data.find(b"\xff\xc0") + 11
    return data[:at] + bytes([factors]) + data[at + 1 :]


FAMILIES: dict[str, Callable[[], bytes]] = {
    "506 scans": lambda: scanned(_flat(2_000, 2_000, *PROGRESSIVE), 506),
    "64 scans of 9 MP": lambda: scanned(_flat(3_000, 3_000, *PROGRESSIVE), 64),
    "64 scans of 90 MP": lambda: resized(
        scanned(_flat(3_000, 3_000, *PROGRESSIVE), 64), 9_500, 9_500
    ),
    "64 scans of noise": lambda: scanned(flipped(small(".jpg", *PROGRESSIVE), 0.02, 700), 64),
    "100 MP and no pixels": lambda: resized(small(".jpg"), 10_000, 10_000),
    "100 MP progressive and no pixels": lambda: resized(
        small(".jpg", *PROGRESSIVE), 10_000, 10_000
    ),
    "36 MP": partial(_flat, 6_000, 6_000),
    "36 MP progressive": partial(_flat, 6_000, 6_000, *PROGRESSIVE),
    "4,290 MP": lambda: resized(small(".jpg"), 65_500, 65_500),
    "no rows": lambda: resized(small(".jpg"), 128, 0),
    "no columns": lambda: resized(small(".jpg"), 0, 96),
    "restarts everywhere": lambda: small(".jpg", *RESTARTING) + b"\xff\xd0" * 500_000,
    "restarts that are wrong": lambda: small(".jpg", *RESTARTING).replace(b"\xff\xd1", b"\xff\xd5"),
    "too many segments": lambda: _with(small(".jpg"), *[segment(0xFE, b"")] * 5_000),
    "long segments": lambda: _with(small(".jpg"), *[segment(0xE2, bytes(65_000))] * 280),
    "a thumbnail of orientation 255": lambda: _with(
        small(".jpg"), segment(0xE1, b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\xff")
    ),
    "directories in a circle": lambda: _with(
        small(".jpg"), segment(0xE1, b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x08\0\0\0" * 8_000)
    ),
    "odd sampling": partial(_sampled, 0x44),
    "no sampling": partial(_sampled, 0x00),
    "arithmetic": lambda: small(".jpg").replace(b"\xff\xc0", b"\xff\xc9", 1),
    "lossless": lambda: small(".jpg").replace(b"\xff\xc0", b"\xff\xc3", 1),
    "two frames": lambda: small(".jpg")[:-2] + small(".jpg")[2:],
    "spoiled tables": lambda: flipped(small(".jpg"), 0.05, 20)[:-2] + END,
    "noise as pixels": lambda: small(".jpg")[:700] + noise(3_000_000).replace(b"\xff", b"\xfe"),
    "torn": lambda: small(".jpg")[:2_000],
    "filled up": lambda: small(".jpg") + bytes(19_900_000),
}
