"""The compiled loop that looks at windows of one picture through a map into another."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from imageward_index.compiled import compiled
from imageward_index.homography import map_frame, map_point
from imageward_index.region_kernels import sample, sign_patch

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@compiled
def choose_levels(step: float, levels: int) -> tuple[int, int, float]:
    """The two levels between whose pixels the samples' step lies, and the share of the second.

    Between levels because signs near zero turn with the blur: the same window must be
    seen equally sharp at any scale. The step is in pixels of the first level.
    """
    at = min(max(2 * math.log2(max(step, 1e-6)), 0.0), levels - 1.0)
    first = int(at)
    return first, min(first + 1, levels - 1), at - first


@compiled
def see_window(
    pixels: NDArray[np.float32],
    start: int,
    shape: Ints,
    width: float,
    height: float,
    matrix: Floats,
    window: Floats,
    patch: Floats,
) -> bool:
    """Sample a window (x, y, width, height) through the map; False if a sample is outside."""
    side = len(patch)
    rows, columns = shape
    for j in range(side):
        for i in range(side):
            x, y, w = map_point(
                matrix,
                window[0] + (i + 0.5) * window[2] / side,
                window[1] + (j + 0.5) * window[3] / side,
            )
            if w <= 0.0 or x < 0.0 or y < 0.0 or x > width or y > height:
                return False
            at_y, at_x = y / height * rows - 0.5, x / width * columns - 0.5
            patch[j, i] = sample(pixels, start, rows, columns, at_y, at_x)
    return True


@compiled
def sign_windows(
    pixels: NDArray[np.float32],
    starts: Ints,
    shapes: Ints,
    width: float,
    height: float,
    matrix: Floats,
    windows: Floats,
    basis: Floats,
    us: Ints,
    vs: Ints,
    signs: NDArray[np.uint16],
    contrasts: Floats,
    inside: NDArray[np.bool_],
) -> None:
    """Sign the DCT of every window (x, y, width, height) as seen through the map."""
    side = basis.shape[1]
    patch = np.empty((side, side))
    softer = np.empty((side, side))
    rowed = np.empty((len(basis), side))
    middle = np.zeros(4)
    mapped = np.zeros(4)
    for k in range(len(windows)):
        window = windows[k]
        middle[0] = window[0] + window[2] / 2
        middle[1] = window[1] + window[3] / 2
        middle[2] = math.sqrt(window[2] * window[3]) / side
        signs[k], contrasts[k] = 0, 0.0
        inside[k] = map_frame(matrix, middle, mapped)
        if not inside[k]:
            continue
        sharp, soft, share = choose_levels(mapped[2] * shapes[0, 1] / width, len(starts))
        inside[k] = see_window(
            pixels, starts[sharp], shapes[sharp], width, height, matrix, window, patch
        )
        if inside[k]:
            see_window(pixels, starts[soft], shapes[soft], width, height, matrix, window, softer)
            patch += share * (softer - patch)
            code, energy = sign_patch(patch, basis, us, vs, rowed)
            signs[k] = np.uint16(code)
            contrasts[k] = math.sqrt(energy) / side
