"""A grey picture as a pyramid of levels, each a square root of two smaller than the last.

Places are told in units of the picture's longer side, so they mean the same at any
resolution: x runs over 0..width and y over 0..height, and the longer of these is 1.
It knows nothing of what is looked for in the levels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from imageward_index.decode import cv2

LEVEL_RATIO: Final = 2**0.5
LEVEL_SIDE_MIN: Final = 12
"""Pixels. What lies in a small crop is large there, and must be seen as softly as in a bank."""

ENLARGEMENT_MAX: Final = 4.0
"""Times. A thumbnail is not enlarged further: it holds no more than it holds."""

BLUR_SIGMA: Final = 1.3
"""Pixels of a level: the Gaussian that patches and windows are sampled from."""

_TAPS: Final = 9
# Sides are multiples of this, so that halving them twice is exact, which is fast.
_SIDE_STEP: Final = 8

Level = NDArray[np.float32]
P = TypeVar("P", NDArray[np.uint8], Level)


@dataclass(frozen=True, slots=True, eq=False)
class Pyramid:
    """The levels of one picture, one after the other in a flat array.

    Attributes:
        width: of the picture, in units of its longer side, over 0 to 1.
        height: the same, downwards.
        pixels: float32, flat, the levels, lightly blurred, 0..255.
        starts: int64, (levels,), where a level begins in `pixels`.
        shapes: int64, (levels, 2), rows and columns of each.
    """

    width: float
    height: float
    pixels: Level
    starts: NDArray[np.int64]
    shapes: NDArray[np.int64]

    def down_to(self, side: int) -> Pyramid:
        """The same picture without the levels of a shorter side, but the first."""
        count = max(int((self.shapes.min(axis=1) >= side).sum()), 1)
        past = int(self.shapes[:count].prod(axis=1).sum())
        return Pyramid(
            self.width, self.height, self.pixels[:past], self.starts[:count], self.shapes[:count]
        )

    def levels(self, flat: Level) -> Iterator[Level]:
        """The levels of an array that is laid out as the pixels are, each (rows, columns)."""
        for start, (rows, columns) in zip(self.starts.tolist(), self.shapes.tolist(), strict=True):
            yield flat[start : start + rows * columns].reshape(rows, columns)


def build_pyramid(grey: NDArray[np.uint8], side: int) -> Pyramid:
    """Build the pyramid of a grey picture (H, W) from a longer side of about `side` down."""
    levels = _shrink_by_steps(_fit(grey, side).astype(np.float32))
    sizes = [level.size for level in levels]
    longer = max(grey.shape)
    pyramid = Pyramid(
        width=grey.shape[1] / longer,
        height=grey.shape[0] / longer,
        pixels=np.empty(sum(sizes), np.float32),
        starts=np.cumsum([0, *sizes[:-1]], dtype=np.int64),
        shapes=np.array([level.shape for level in levels], dtype=np.int64),
    )
    for level, blurred in zip(levels, pyramid.levels(pyramid.pixels), strict=True):
        blur(level, BLUR_SIGMA, blurred)
    return pyramid


def blur(picture: Level, sigma: float, blurred: Level) -> None:
    """Fill a level with another's blur, by a Gaussian of up to 1.7 pixels."""
    # In place: memory that is asked for anew takes longer than the blur.
    cv2.GaussianBlur(picture, (_TAPS, _TAPS), sigma, blurred, borderType=cv2.BORDER_REPLICATE)


def _fit(grey: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Resize to a longer side of about `side`, every pixel of the picture counting alike.

    By way of twice the size, which an interpolation reaches without skipping pixels, and
    which is then halved exactly: as good as averaging areas, and several times faster.
    """
    scale = min(side / max(grey.shape), ENLARGEMENT_MAX)
    rows, columns = (_rounded(length * scale) for length in grey.shape)
    if scale >= 1:
        return _resize(grey, rows, columns, cv2.INTER_LINEAR)
    while min(grey.shape) > 1 and max(grey.shape) >= 4 * side:
        grey = _halve(grey[: grey.shape[0] // 2 * 2, : grey.shape[1] // 2 * 2])
    return _halve(_resize(grey, 2 * rows, 2 * columns, cv2.INTER_LINEAR))


def _shrink_by_steps(first: Level) -> list[Level]:
    """Halve the level an octave before, until there is little left."""
    rows, columns = (_rounded(side / LEVEL_RATIO) for side in first.shape)
    levels = [first, _resize(first, rows, columns, cv2.INTER_LINEAR)]
    while min(levels[-1].shape) >= LEVEL_SIDE_MIN * LEVEL_RATIO:
        levels.append(_halve(levels[-2]))
    return levels


def _rounded(length: float) -> int:
    return max(_SIDE_STEP, round(length / _SIDE_STEP) * _SIDE_STEP)


def _halve(picture: P) -> P:
    rows, columns = picture.shape
    return _resize(picture, rows // 2, columns // 2, cv2.INTER_AREA)


def _resize(picture: P, rows: int, columns: int, how: int) -> P:
    return cast("P", cv2.resize(picture, (columns, rows), interpolation=how))
