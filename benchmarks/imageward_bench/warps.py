"""Edits that move pixels: turns, crops, tilts."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.random import Generator

from imageward_bench.edits import Picture

Step = Callable[[Picture, Generator], Picture]


def turned_quarters(quarters: int) -> Step:
    """Turn by quarters, counter-clockwise."""
    return lambda picture, _rng: np.ascontiguousarray(np.rot90(picture, quarters))


def turned(degrees: float) -> Step:
    """Turn by any angle, on a canvas that holds all of it, black around."""
    return lambda picture, _rng: _turn(picture, degrees)


def turned_any(picture: Picture, rng: Generator) -> Picture:
    """Turn by an angle drawn from all there are."""
    return _turn(picture, rng.uniform(0, 360))


def _turn(picture: Picture, degrees: float) -> Picture:
    rows, columns = picture.shape[:2]
    to = cv2.getRotationMatrix2D((columns / 2, rows / 2), degrees, 1.0)
    cosine, sine = np.abs(to[0, :2])
    size = (round(columns * cosine + rows * sine), round(columns * sine + rows * cosine))
    to[:, 2] = to[:, 2] + (np.array(size) - (columns, rows)) / 2
    return cv2.warpAffine(picture, to, size, flags=cv2.INTER_LINEAR).astype(np.uint8)


def cropped(share: float) -> Step:
    """Keep a share of the area, of the picture's shape, from anywhere in it."""

    def crop(picture: Picture, rng: Generator) -> Picture:
        rows, columns = picture.shape[:2]
        height, width = round(rows * share**0.5), round(columns * share**0.5)
        top, left = rng.integers(0, rows - height + 1), rng.integers(0, columns - width + 1)
        return picture[top : top + height, left : left + width].copy()

    return crop


def tilted(strength: float) -> Step:
    """See it from aside: every corner moves inwards by up to `strength` of the sides."""

    def tilt(picture: Picture, rng: Generator) -> Picture:
        rows, columns = picture.shape[:2]
        corners = np.array([[0, 0], [columns, 0], [columns, rows], [0, rows]], np.float32)
        inwards = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]])
        moves = inwards * rng.uniform(0, strength, (4, 2)) * (columns, rows)
        to = cv2.getPerspectiveTransform(corners, (corners + moves).astype(np.float32))
        return cv2.warpPerspective(picture, to, (columns, rows)).astype(np.uint8)

    return tilt
