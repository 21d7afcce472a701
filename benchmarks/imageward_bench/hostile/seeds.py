"""Small whole pictures to spoil, in every format that OpenCV writes."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from imageward_index.decode import cv2

SEED = 20

Pixels = NDArray[np.uint8]


@cache
def scene(height: int = 96, width: int = 128) -> Pixels:
    """A picture in colour with soft and hard parts (H, W, 3)."""
    rng = np.random.default_rng(SEED)
    coarse = rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)
    soft = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    grain = rng.integers(-8, 9, soft.shape)
    return np.asarray(np.clip(soft.astype(np.int64) + grain, 0, 255), np.uint8)


def encode(pixels: Pixels, extension: str, *options: int) -> bytes:
    """Encode a picture with OpenCV's options."""
    written, data = cv2.imencode(extension, pixels, list(options))
    assert written, "OpenCV writes this format"
    return data.tobytes()


@cache
def small(extension: str, *options: int) -> bytes:
    """The scene as a file."""
    return encode(scene(), extension, *options)


def noise(length: int, seed: int = SEED) -> bytes:
    """Random bytes, the same every time."""
    return np.random.default_rng(seed).bytes(length)


def flipped(data: bytes, share: float, start: int = 0, seed: int = SEED) -> bytes:
    """Replace a share of the bytes from `start` on by random ones."""
    rng = np.random.default_rng(seed)
    spoiled = np.frombuffer(data, np.uint8).copy()
    where = start + np.flatnonzero(rng.random(len(data) - start) < share)
    spoiled[where] = rng.integers(0, 256, len(where), dtype=np.uint8)
    return spoiled.tobytes()
