"""The aligned grid: DCT signs of windows that overlap all over a picture.

Regional codes say where a picture might lie in another; the grid says whether what lies
there is the same picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from imageward_index import geometry_kernels as kernels
from imageward_index.pyramid import Pyramid

import os
CELLS: Final = int(os.environ.get("GC","16"))
WINDOW: Final = float(os.environ.get("GO","2")) / (CELLS + 1)
STRIDE: Final = (1 - WINDOW) / (CELLS - 1)
SIGN_BITS: Final = int(os.environ.get("GB","16"))
SAMPLES: Final = 8
CONTRAST_MIN: Final = 4.0
PAPER_SHARE_MAX: Final = float(os.environ.get("GP","0.5"))


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """The windows of one picture: signs uint32 (n,), textured bool (n,), smooth bool (n,)."""

    signs: NDArray[np.uint32]
    textured: NDArray[np.bool_]
    smooth: NDArray[np.bool_]


def _frequencies() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    pairs = sorted(
        ((u, v) for u in range(SAMPLES) for v in range(SAMPLES) if u or v),
        key=lambda p: (p[0] ** 2 + p[1] ** 2, p),
    )[:SIGN_BITS]
    us, vs = np.array(pairs, dtype=np.int64).T
    return np.ascontiguousarray(us), np.ascontiguousarray(vs)


_US, _VS = _frequencies()
_BASIS = np.sqrt(2 / SAMPLES) * np.cos(
    np.pi / (2 * SAMPLES) * np.arange(max(_US.max(), _VS.max()) + 1)[:, None]
    * (2 * np.arange(SAMPLES) + 1)
)
_BASIS[0] *= 0.5**0.5


def windows_of(width: float, height: float) -> NDArray[np.float64]:
    """(121, 4) x, y, width, height of the windows of a picture of this size."""
    at = np.arange(CELLS) * STRIDE
    ys, xs = np.meshgrid(at, at, indexing="ij")
    sizes = np.full(xs.size, WINDOW)
    return np.stack(
        [xs.ravel() * width, ys.ravel() * height, sizes * width, sizes * height], axis=1
    )


def see_grid(
    pyramid: Pyramid, width: float, height: float, to_picture: NDArray[np.float64]
) -> tuple[NDArray[np.uint32], NDArray[np.float64], NDArray[np.bool_]]:
    """Sign the windows of a bank picture where a homography puts them in this one."""
    count = CELLS * CELLS
    signs = np.empty(count, dtype=np.uint32)
    contrasts = np.empty(count)
    inside = np.empty(count, dtype=np.bool_)
    kernels.sign_windows(
        pyramid.pixels, pyramid.starts, pyramid.shapes, pyramid.width, pyramid.height,
        to_picture, windows_of(width, height), _BASIS, _US, _VS, signs, contrasts, inside,
    )
    return signs, contrasts, inside


def find_grid(pyramid: Pyramid) -> Grid:
    signs, contrasts, _ = see_grid(pyramid, pyramid.width, pyramid.height, np.eye(3))
    rows, columns = pyramid.shapes[0]
    first = pyramid.pixels[: rows * columns].reshape(rows, columns)
    rich = contrasts >= CONTRAST_MIN
    return Grid(signs, rich & (_paper_shares(first) < PAPER_SHARE_MAX), ~rich)


def _paper_shares(picture: NDArray[np.float32]) -> NDArray[np.float64]:
    """For each window the share of its pixels that are nearly of its commonest shade."""
    rows, columns = picture.shape
    shares = []
    for i in range(CELLS):
        for j in range(CELLS):
            part = picture[
                round(i * STRIDE * rows) : round((i * STRIDE + WINDOW) * rows),
                round(j * STRIDE * columns) : round((j * STRIDE + WINDOW) * columns),
            ]
            counts = np.bincount((part[::2, ::2] / 4).astype(np.int64).ravel(), minlength=66)
            shares.append((counts[1:] + counts[:-1]).max() / counts.sum())
    return np.array(shares)
