"""A pyramid to its regional codes: 64-bit DCT codes of patches, with place, scale and angle."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from imageward_index import region_kernels as kernels
from imageward_index.pyramid import Pyramid

CODE_BITS: Final = 64
PATCH_SAMPLES: Final = 16
PATCH_HALF_WIDTH: Final = 16.0
CONTRAST_MIN: Final = 1.2
MARGIN: Final = 8
EDGE_RATIO: Final = 12.0
CANDIDATES_MAX: Final = 8192
CELLS: Final = 4
RING: Final = 8.0


@dataclass(frozen=True, slots=True, eq=False)
class Regions:
    """The regional codes of one picture.

    Attributes:
        width: of the picture, in units of its longer side.
        height: the same, downwards.
        codes: uint64, (n,).
        xs: float64, (n,).
        ys: float64, (n,).
        scales: float64, (n,), units of the longer side a level pixel.
        angles: float64, (n,), radians.
    """

    width: float
    height: float
    codes: NDArray[np.uint64]
    xs: NDArray[np.float64]
    ys: NDArray[np.float64]
    scales: NDArray[np.float64]
    angles: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.codes)

    def mirrored(self) -> Regions:
        """The regions of the picture with left and right swapped."""
        return Regions(
            self.width,
            self.height,
            self.codes ^ MIRROR_MASK,
            self.width - self.xs,
            self.ys,
            self.scales,
            np.mod(2 * math.pi - self.angles, 2 * math.pi) - math.pi,
        )


def _lowest_frequencies() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    pairs = sorted(
        ((u, v) for u in range(PATCH_SAMPLES) for v in range(PATCH_SAMPLES) if u or v),
        key=lambda p: (p[0] ** 2 + p[1] ** 2, p),
    )[:CODE_BITS]
    us, vs = np.array(pairs, dtype=np.int64).T
    return np.ascontiguousarray(us), np.ascontiguousarray(vs)


_US, _VS = _lowest_frequencies()
_BASIS = np.cos(
    np.pi / (2 * PATCH_SAMPLES) * np.arange(max(_US.max(), _VS.max()) + 1)[:, None]
    * (2 * np.arange(PATCH_SAMPLES) + 1)
)
# Rows of a patch run across its axis; mirroring swaps them, and so negates odd u.
MIRROR_MASK: Final = np.bitwise_or.reduce(
    np.where(_US % 2 == 1, np.uint64(1) << np.arange(CODE_BITS, dtype=np.uint64), np.uint64(0))
)


def find_regions(pyramid: Pyramid, count_max: int) -> Regions:
    points = np.empty((CANDIDATES_MAX, 5))
    n = kernels.find_extrema(
        pyramid.edges, pyramid.starts, pyramid.shapes, CONTRAST_MIN, MARGIN, EDGE_RATIO, points
    )
    points = _spread(points[:n], pyramid, count_max)
    codes = np.empty(len(points), dtype=np.uint64)
    angles = np.empty(len(points))
    kernels.describe(
        pyramid.pixels, pyramid.starts, pyramid.shapes, points, PATCH_HALF_WIDTH, RING, _BASIS,
        _US, _VS, angles, codes,
    )
    shapes = pyramid.shapes[points[:, 0].astype(np.int64)]
    return Regions(
        pyramid.width,
        pyramid.height,
        codes,
        (points[:, 2] + 0.5) * pyramid.width / shapes[:, 1],
        (points[:, 1] + 0.5) * pyramid.height / shapes[:, 0],
        2 ** (points[:, 3] / 2) * pyramid.width / shapes[:, 1],
        angles,
    )


def _spread(points, pyramid, count_max):
    levels = points[:, 0].astype(np.int64)
    shapes = pyramid.shapes[levels]
    rows = (points[:, 1] * CELLS / shapes[:, 0]).astype(np.int64)
    columns = (points[:, 2] * CELLS / shapes[:, 1]).astype(np.int64)
    group = ((levels + 1) // 2 * CELLS + rows) * CELLS + columns
    order = np.lexsort((-points[:, 4], group))
    sorted_group = group[order]
    first = np.flatnonzero(np.r_[True, sorted_group[1:] != sorted_group[:-1]]) if len(order) else order
    rank = np.arange(len(order)) - np.repeat(first, np.diff(np.r_[first, len(order)]))
    best = np.lexsort((-points[order, 4], rank))[:count_max]
    return points[order[best]]
