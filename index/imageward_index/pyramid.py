"""A grey picture as a pyramid of levels, each a square root of two smaller than the last.

Places are told in units of the picture's longer side, so they mean the same at any
resolution: x runs over 0..width and y over 0..height, and the longer of these is 1.
It knows nothing of what is looked for in the levels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

LEVEL_RATIO: Final = 2**0.5
LEVEL_SIDE_MIN: Final = 36
"""Pixels. A level whose shorter side is below this has no room for a patch."""

SIDE_MIN: Final = 16
"""Pixels. A picture with a shorter side below this has no regions."""

ENLARGEMENT_MAX: Final = 4.0
"""Times. A thumbnail is not enlarged further: it holds no more than it holds."""

BLUR_SIGMA: Final = 1.0
BLUR_RATIO: Final = 1.6


@dataclass(frozen=True, slots=True, eq=False)
class Pyramid:
    """The levels of one picture, one after the other in flat arrays.

    Attributes:
        width: of the picture, in units of its longer side, 0..1.
        height: the same, downwards.
        pixels: float32, flat, the levels, lightly blurred, 0..255.
        edges: float32, flat, the same levels' differences of Gaussians.
        starts: int64, (levels,), where a level begins in `pixels` and `edges`.
        shapes: int64, (levels, 2), rows and columns of each.
    """

    width: float
    height: float
    pixels: NDArray[np.float32]
    edges: NDArray[np.float32]
    starts: NDArray[np.int64]
    shapes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts)


def build_pyramid(grey: NDArray[np.uint8], side: int) -> Pyramid:
    """Build the pyramid of a grey picture whose first level has `side` pixels a long side."""
    levels = _shrink_by_steps(_resize_to(grey, side))
    blurred = [_blur(level, BLUR_SIGMA) for level in levels]
    step = BLUR_SIGMA * (BLUR_RATIO**2 - 1) ** 0.5
    edges = [_blur(level, step) - level for level in blurred]
    sizes = [level.size for level in levels]
    longer = max(grey.shape)
    return Pyramid(
        width=grey.shape[1] / longer,
        height=grey.shape[0] / longer,
        pixels=np.concatenate([level.ravel() for level in blurred]),
        edges=np.concatenate([level.ravel() for level in edges]),
        starts=np.cumsum([0, *sizes[:-1]], dtype=np.int64),
        shapes=np.array([level.shape for level in levels], dtype=np.int64),
    )


def _resize_to(grey: NDArray[np.uint8], side: int) -> NDArray[np.float32]:
    scale = min(side / max(grey.shape), ENLARGEMENT_MAX)
    return _resize(grey, scale).astype(np.float32)


def _resize(picture: NDArray[np.uint8] | NDArray[np.float32], scale: float) -> NDArray[np.float32]:
    rows, columns = (max(1, round(side * scale)) for side in picture.shape)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, (columns, rows), interpolation=how))


def _shrink_by_steps(first: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Halve the level an octave before, until there is no room for a patch."""
    levels = [first, _resize(first, 1 / LEVEL_RATIO)]
    while min(levels[-1].shape) / LEVEL_RATIO >= LEVEL_SIDE_MIN:
        levels.append(_resize(levels[-2], 0.5))
    return levels


def _blur(picture: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE))
