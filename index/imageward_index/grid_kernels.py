"""The compiled loops that look at windows of one picture through a map into another."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from imageward_index.homography import map_area, map_point
from imageward_index.intrinsics import entrance, kernel, popcount
from imageward_index.region_kernels import sample, sign_patch

Flat = NDArray[np.float32]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bits = NDArray[np.bool_]
Signs = NDArray[np.uint16]

NOT_SEEN = 99
"""More bits than any two windows are apart."""


@kernel
def choose_levels(step: float, levels: int) -> tuple[int, int, float]:
    """The two levels between whose pixels the samples' step lies, and the share of the second.

    Between levels because signs near zero turn with the blur: the same window must be
    seen equally sharp at any scale. The step is in pixels of the first level.
    """
    at = min(max(2 * math.log2(max(step, 1e-6)), 0.0), levels - 1.0)
    first = int(at)
    return first, min(first + 1, levels - 1), at - first


@kernel
def is_inside(matrix: Floats, window: Floats, side: int, width: float, height: float) -> bool:
    """Say whether all side x side samples of a window lie in the picture: its outermost do."""
    for down in (0.5 / side, 1 - 0.5 / side):
        for across in (0.5 / side, 1 - 0.5 / side):
            x, y, w = map_point(
                matrix, window[0] + across * window[2], window[1] + down * window[3]
            )
            if w <= 0.0 or x < 0.0 or y < 0.0 or x > width or y > height:
                return False
    return True


@kernel
def see_window(
    pixels: Flat,
    starts: Ints,
    shapes: Ints,
    width: float,
    height: float,
    matrix: Floats,
    window: Floats,
    patch: Floats,
) -> bool:
    """Sample a window (x, y, width, height) through the map; False if a sample is outside."""
    side = len(patch)
    if not is_inside(matrix, window, side, width, height):
        return False
    area = map_area(matrix, window[0] + window[2] / 2, window[1] + window[3] / 2)
    if area <= 0.0:
        return False
    step = math.sqrt(window[2] * window[3]) / side * math.sqrt(area)
    sharp, soft, share = choose_levels(step * shapes[0, 1] / width, len(starts))
    rows, columns = shapes[sharp]
    soft_rows, soft_columns = shapes[soft]
    for j in range(side):
        for i in range(side):
            x, y, _ = map_point(
                matrix,
                window[0] + (i + 0.5) * window[2] / side,
                window[1] + (j + 0.5) * window[3] / side,
            )
            y, x = y / height, x / width
            patch[j, i] = (1 - share) * sample(
                pixels, starts[sharp], rows, columns, y * rows - 0.5, x * columns - 0.5
            ) + share * sample(
                pixels, starts[soft], soft_rows, soft_columns,
                y * soft_rows - 0.5, x * soft_columns - 0.5,
            )  # fmt: skip
    return True


@entrance
def sign_windows(
    pixels: Flat,
    starts: Ints,
    shapes: Ints,
    width: float,
    height: float,
    matrix: Floats,
    windows: Floats,
    basis: Floats,
    us: Ints,
    vs: Ints,
    signs: Signs,
    contrasts: Floats,
    inside: Bits,
) -> None:
    """Sign the DCT of every window (x, y, width, height) as seen through the map."""
    side = basis.shape[1]
    patch = np.empty((side, side))
    rowed = np.empty((len(basis), side))
    spectrum = np.empty((len(basis), len(basis)))
    for k in range(len(windows)):
        signs[k], contrasts[k] = 0, 0.0
        inside[k] = see_window(pixels, starts, shapes, width, height, matrix, windows[k], patch)
        if inside[k]:
            code, energy = sign_patch(patch, basis, us, vs, rowed, spectrum)
            signs[k] = np.uint16(code)
            contrasts[k] = math.sqrt(energy) / side


@entrance
def compare_windows(
    pixels: Flat,
    starts: Ints,
    shapes: Ints,
    width: float,
    height: float,
    matrix: Floats,
    windows: Floats,
    basis: Floats,
    us: Ints,
    vs: Ints,
    signs: Signs,
    textured: Bits,
    plain: Bits,
    radius_bits: int,
    contrast_min: float,
    probed: int,
    probed_alike: int,
    order: Ints,
    distances: Ints,
) -> int:
    """Compare banked windows with what is seen through the map, a scattered few of them first.

    Fills `distances` (windows,) with the bits between the `signs` of `textured` windows
    and what is seen, -1 where they are not seen. Windows no further apart than the radius
    are alike. Where of the first `probed` fewer than `probed_alike` are, the rest is not
    looked at: the map is of something else, as nearly all are. `order` says which are
    first.

    Returns:
        In how many `plain` windows something of a contrast over the least is seen.
    """
    side = basis.shape[1]
    patch = np.empty((side, side))
    rowed = np.empty((len(basis), side))
    spectrum = np.empty((len(basis), len(basis)))
    distances[:] = -1
    seen = alike = intruding = 0
    for k in order:
        if seen == probed and alike < probed_alike:
            break
        if not (textured[k] or plain[k]):
            continue
        if not see_window(pixels, starts, shapes, width, height, matrix, windows[k], patch):
            continue
        code, energy = sign_patch(patch, basis, us, vs, rowed, spectrum)
        if textured[k]:
            seen += 1
            distances[k] = popcount(code ^ np.uint64(signs[k]))
            alike += distances[k] <= radius_bits
        else:
            intruding += math.sqrt(energy) / side >= contrast_min
    return intruding


@entrance
def shift_windows(
    pixels: Flat,
    starts: Ints,
    shapes: Ints,
    width: float,
    height: float,
    matrix: Floats,
    windows: Floats,
    basis: Floats,
    us: Ints,
    vs: Ints,
    signs: Signs,
    textured: Bits,
    radius_bits: int,
    order: Ints,
    tried_max: int,
    step: float,
    places: Floats,
    to_places: Floats,
) -> int:
    """Look around banked windows for where they are most alike; of equals the middle counts.

    A window is looked for where the map puts it and at a step, in units of the banked
    picture, to four sides. Fills `places` (windows, 5) with the poses of those that are
    within the radius somewhere, by their places in the picture, and `to_places` likewise
    in the banked picture. The first `tried_max` windows of `order` that are seen are
    looked for.

    Returns:
        How many were found.
    """
    side = basis.shape[1]
    patch = np.empty((side, side))
    rowed = np.empty((len(basis), side))
    spectrum = np.empty((len(basis), len(basis)))
    window = np.empty(4)
    count = 0
    tried = 0
    for k in order:
        if not textured[k] or tried == tried_max:
            continue
        nearest = NOT_SEEN
        for across, down in ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)):
            window[:] = windows[k]
            window[0] += across * step
            window[1] += down * step
            if nearest == 0 or not see_window(
                pixels, starts, shapes, width, height, matrix, window, patch
            ):
                continue
            code, _ = sign_patch(patch, basis, us, vs, rowed, spectrum)
            bits = popcount(code ^ np.uint64(signs[k]))
            if bits < nearest:
                nearest = bits
                x, y, _ = map_point(matrix, window[0] + window[2] / 2, window[1] + window[3] / 2)
                places[count, 0], places[count, 1] = x, y
        tried += nearest < NOT_SEEN
        if nearest <= radius_bits:
            to_places[count, 0] = windows[k, 0] + windows[k, 2] / 2
            to_places[count, 1] = windows[k, 1] + windows[k, 3] / 2
            count += 1
    return count
