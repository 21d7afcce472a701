"""AVIF files made to hurt: boxes within boxes."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np

from imageward_bench.hostile.seeds import encode, flipped, noise, small
from imageward_index.decode import cv2

FAST = (cv2.IMWRITE_AVIF_SPEED, 9)


def _whole() -> bytes:
    return small(".avif", *FAST)


def _sized(width: int, height: int) -> bytes:
    """Let the file claim other sides."""
    data = _whole()
    at = data.index(b"ispe") + 8
    return data[:at] + struct.pack(">II", width, height) + data[at + 8 :]


def _with_length(kind: bytes, length: int) -> bytes:
    """Let a box claim another length."""
    data = _whole()
    at = data.index(kind) - 4
    return data[:at] + struct.pack(">I", length) + data[at + 4 :]


def _with_boxes(box: bytes, count: int) -> bytes:
    """Lay boxes between the first and the rest."""
    data = _whole()
    first = int.from_bytes(data[:4], "big")
    return data[:first] + box * count + data[first:]


def _with_pixels_at(value: int) -> bytes:
    """Let the place of the pixels be somewhere else."""
    data = _whole()
    at = data.index(b"iloc") + 4
    return data[: at + 12] + struct.pack(">I", value) + data[at + 16 :]


FAMILIES: dict[str, Callable[[], bytes]] = {
    "100 MP and no pixels": lambda: _sized(10_000, 10_000),
    "2^64 pixels": lambda: _sized(2**32 - 1, 2**32 - 1),
    "no sides": lambda: _sized(0, 0),
    "smaller than its pixels": lambda: _sized(16, 16),
    "4 MP": lambda: encode(np.zeros((2_000, 2_000, 3), np.uint8), ".avif", *FAST),
    "box of no length": lambda: _with_length(b"meta", 0),
    "box of length 1": lambda: _with_length(b"meta", 1),
    "box of length 7": lambda: _with_length(b"iprp", 7),
    "box longer than the file": lambda: _with_length(b"iprp", 2**31),
    "too many boxes": lambda: _with_boxes(b"\0\0\0\x08free", 2_000),
    "a million boxes": lambda: _with_boxes(b"\0\0\0\x08free", 1_000_000),
    "pixels elsewhere": lambda: _with_pixels_at(2**31 - 1),
    "noise as pixels": lambda: _whole()[: _whole().index(b"mdat") + 4] + noise(20_000),
    "torn": lambda: _whole()[:-500],
    "spoiled boxes": lambda: flipped(_whole()[:400], 0.03, 32) + _whole()[400:],
    "spoiled pixels": lambda: flipped(_whole(), 0.03, _whole().index(b"mdat") + 20),
}
