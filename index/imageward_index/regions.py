"""A pyramid to its regional codes: 64-bit DCT codes of patches, with place, scale and angle.

1. Extrema of the difference of Gaussians within a level and against its two neighbours,
   refined between pixels and between levels: Lowe, "Distinctive Image Features from
   Scale-Invariant Keypoints" (2004), on a pyramid of resized levels.
2. The strongest of every cell and octave in turn, so that no overlay takes them all.
3. An angle from the centroid of brightness: Rosin, "Measuring Corner Properties" (1999).
4. The signs of the 64 lowest frequencies of the DCT of the turned patch.

A mirrored picture has the same codes with the odd frequencies across the angle negated,
so mirrors are looked up from the same codes under a mask. It knows no other picture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from imageward_index import region_kernels as kernels
from imageward_index.dct import cosines, lowest_frequencies
from imageward_index.decode import cv2
from imageward_index.pyramid import BLUR_SIGMA, Pyramid, blur

CODE_BITS: Final = 64
BANK_SIDE: Final = 512
BANK_CODES_MAX: Final = 248
"""A banked picture has more codes, at more pixels, than an upload: that is what finds crops."""

QUERY_SIDE: Final = 304
"""Half a step between levels of `BANK_SIDE`: what falls between those of the fine look at an
upload is found by the coarse look, and the other way round."""

QUERY_CODES_MAX: Final = 128

_PATCH_SAMPLES: Final = 16
_PATCH_HALF_WIDTH: Final = 12.0
_DISC_RADIUS: Final = 6.5
_STRENGTH_MIN: Final = 1.2
_MARGIN: Final = 5
_EDGE_RATIO_MAX: Final = 12.0
# Pixels. A level whose shorter side is below this has no room for patches.
_LEVEL_SIDE_MIN: Final = 36
_CANDIDATES_MAX: Final = 8_192
_CELLS: Final = 6
# Between the two Gaussians that are subtracted; the second is put on top of the first.
_BLUR_RATIO: Final = 1.6
_SECOND_SIGMA: Final = BLUR_SIGMA * (_BLUR_RATIO**2 - 1) ** 0.5
# Columns of the points that the kernels find.
_LEVEL, _Y, _X, _OFFSET, _STRENGTH = range(5)

_US, _VS = lowest_frequencies(_PATCH_SAMPLES, CODE_BITS)
_BASIS: Final = cosines(_PATCH_SAMPLES, int(max(_US.max(), _VS.max())))
_BITS: Final = np.uint64(1) << np.arange(CODE_BITS, dtype=np.uint64)
# Rows of a patch follow one another across its angle.
MIRROR_MASK: Final = np.bitwise_or.reduce(_BITS[_US % 2 == 1])


@dataclass(frozen=True, slots=True, eq=False)
class Regions:
    """The regional codes of one picture.

    Attributes:
        width: of the picture, in units of its longer side, over 0 to 1.
        height: the same, downwards.
        codes: uint64, (n,); bit 0 is the lowest frequency.
        frames: float64, (n, 4): x, y, the size of a level's pixel, all in units of the
            longer side, and the angle in radians, clockwise as seen, -pi..pi.
    """

    width: float
    height: float
    codes: NDArray[np.uint64]
    frames: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.codes)

    def mirror(self) -> Regions:
        """Make the regions of the picture with left and right swapped."""
        xs, ys, scales, angles = self.frames.T
        turned = math.pi - angles
        frames = np.stack(
            [self.width - xs, ys, scales, np.where(turned > math.pi, turned - 2 * math.pi, turned)],
            axis=1,
        )
        return Regions(self.width, self.height, self.codes ^ MIRROR_MASK, frames)


def find_regions(pyramid: Pyramid, codes_max: int) -> Regions:
    """Find the regional codes of a picture, at most `codes_max`, the most telling first."""
    pyramid = pyramid.down_to(_LEVEL_SIDE_MIN)
    points = np.empty((_CANDIDATES_MAX, 5))
    count = kernels.find_extrema(
        _find_edges(pyramid),
        pyramid.starts,
        pyramid.shapes,
        _STRENGTH_MIN,
        _MARGIN,
        _EDGE_RATIO_MAX,
        points,
    )
    chosen = _spread(points[:count], pyramid.shapes)[:codes_max]
    return _describe(pyramid, np.ascontiguousarray(points[chosen]))


def _find_edges(pyramid: Pyramid) -> NDArray[np.float32]:
    """The levels' differences of Gaussians, laid out as the pyramid's pixels are."""
    edges = np.empty_like(pyramid.pixels)
    for level, edge in zip(pyramid.levels(pyramid.pixels), pyramid.levels(edges), strict=True):
        blur(level, _SECOND_SIGMA, edge)
        cv2.subtract(edge, level, edge)
    return edges


def _spread(points: NDArray[np.float64], shapes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Order points so that every cell of every octave gives its strongest in turn."""
    levels = points[:, _LEVEL].astype(np.int64)
    rows = (points[:, _Y] * _CELLS / shapes[levels, 0]).astype(np.int64)
    columns = (points[:, _X] * _CELLS / shapes[levels, 1]).astype(np.int64)
    groups = ((levels + 1) // 2 * _CELLS + rows) * _CELLS + columns
    by_group = np.lexsort((-points[:, _STRENGTH], groups))
    ordered = groups[by_group]
    turns = np.arange(len(points)) - np.searchsorted(ordered, ordered)
    return by_group[np.lexsort((-points[by_group, _STRENGTH], turns))]


def _describe(pyramid: Pyramid, points: NDArray[np.float64]) -> Regions:
    codes = np.empty(len(points), dtype=np.uint64)
    angles = np.empty(len(points))
    kernels.describe_points(
        pyramid.pixels,
        pyramid.starts,
        pyramid.shapes,
        points,
        _PATCH_HALF_WIDTH,
        _DISC_RADIUS,
        _BASIS,
        _US,
        _VS,
        angles,
        codes,
    )
    rows, columns = pyramid.shapes[points[:, _LEVEL].astype(np.int64)].T
    pixel = pyramid.width / columns
    frames = [
        (points[:, _X] + 0.5) * pixel,
        (points[:, _Y] + 0.5) * pyramid.height / rows,
        pixel * 2 ** (points[:, _OFFSET] / 2),
        angles,
    ]
    return Regions(pyramid.width, pyramid.height, codes, np.stack(frames, axis=1))
