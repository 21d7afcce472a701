"""A grey picture as a pyramid of levels, each a square root of two smaller than the last.

Places are told in units of the picture's longer side, so they mean the same at any
resolution: x runs over 0..width and y over 0..height, and the longer of these is 1.
It knows nothing of what is looked for in the levels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from imageward_index.decode import cv2

LEVEL_RATIO: Final = 2**0.5
LEVEL_SIDE_MIN: Final = 36
"""Pixels. A level whose shorter side is below this has no room for patches."""

ENLARGEMENT_MAX: Final = 4.0
"""Times. A thumbnail is not enlarged further: it holds no more than it holds."""

# Gaussians in pixels of a level: what a patch is sampled from, and what is subtracted.
_BLUR_SIGMA: Final = 1.3
_BLUR_RATIO: Final = 1.6
_SECOND_SIGMA: Final = _BLUR_SIGMA * (_BLUR_RATIO**2 - 1) ** 0.5

Level = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Pyramid:
    """The levels of one picture, one after the other in flat arrays.

    Attributes:
        width: of the picture, in units of its longer side, over 0 to 1.
        height: the same, downwards.
        pixels: float32, flat, the levels, lightly blurred, 0..255.
        edges: float32, flat, the same levels' differences of Gaussians.
        starts: int64, (levels,), where a level begins in `pixels` and `edges`.
        shapes: int64, (levels, 2), rows and columns of each.
    """

    width: float
    height: float
    pixels: Level
    edges: Level
    starts: NDArray[np.int64]
    shapes: NDArray[np.int64]


def build_pyramid(grey: NDArray[np.uint8], side: int) -> Pyramid:
    """Build the pyramid of a grey picture (H, W) from a longer side of `side` pixels down."""
    scale = min(side / max(grey.shape), ENLARGEMENT_MAX)
    levels = _shrink_by_steps(_resize(grey, scale).astype(np.float32))
    blurred = [_blur(level, _BLUR_SIGMA) for level in levels]
    edges = [cv2.subtract(_blur(level, _SECOND_SIGMA), level).ravel() for level in blurred]
    sizes = [level.size for level in levels]
    longer = max(grey.shape)
    return Pyramid(
        width=grey.shape[1] / longer,
        height=grey.shape[0] / longer,
        pixels=np.concatenate([level.ravel() for level in blurred]),
        edges=np.concatenate(edges),
        starts=np.cumsum([0, *sizes[:-1]], dtype=np.int64),
        shapes=np.array([level.shape for level in levels], dtype=np.int64),
    )


def _shrink_by_steps(first: Level) -> list[Level]:
    """Halve the level an octave before, until there is no room for a patch."""
    levels = [first, _resize(first, 1 / LEVEL_RATIO)]
    while min(levels[-1].shape) >= LEVEL_SIDE_MIN * LEVEL_RATIO:
        levels.append(_resize(levels[-2], 0.5))
    return levels


def _resize(picture: NDArray[np.uint8] | Level, scale: float) -> Level:
    rows, columns = (max(1, round(side * scale)) for side in picture.shape)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, (columns, rows), interpolation=how))


def _blur(picture: Level, sigma: float) -> Level:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE))
