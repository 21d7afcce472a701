"""Compiled loops over a pyramid: extrema, orientations, and the signs of patches.

Levels lie one after the other in a flat array; `start`, `rows` and `columns` say where
one is. Nothing else is in here, and nothing in here knows what the results mean.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from imageward_index.intrinsics import entrance, kernel

Flat = NDArray[np.float32]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bits = NDArray[np.bool_]


@kernel
def sample(pixels: Flat, start: int, rows: int, columns: int, y: float, x: float) -> float:
    """Interpolate a level at row y and column x; beyond its borders they go on."""
    y = min(max(y, 0.0), rows - 1.0)
    x = min(max(x, 0.0), columns - 1.0)
    row = int(y)
    column = int(x)
    at = start + row * columns + column
    right = 1 if column + 1 < columns else 0
    below = columns if row + 1 < rows else 0
    share = x - column
    top = pixels[at] + (pixels[at + right] - pixels[at]) * share
    bottom = pixels[at + below] + (pixels[at + below + right] - pixels[at + below]) * share
    return float(top + (bottom - top) * (y - row))


@kernel
def mark_extrema(above: Flat, row: Flat, below: Flat, least: np.float32, marks: Bits) -> None:
    """Mark the pixels of a row that are extreme among their eight neighbours.

    Of equals the first is. Without a branch, so that it is done for many pixels at once.

    Args:
        above: the row before, (columns,).
        row: the row.
        below: the row after.
        least: strength, positive, from which on a pixel counts.
        marks: (columns - 2,), filled; the first is of the second pixel.
    """
    for i in range(len(marks)):
        value = row[i + 1]
        peak = (
            (value >= least)
            & (value > above[i])
            & (value > above[i + 1])
            & (value > above[i + 2])
            & (value > row[i])
            & (value >= row[i + 2])
            & (value >= below[i])
            & (value >= below[i + 1])
            & (value >= below[i + 2])
        )
        pit = (
            (value <= -least)
            & (value < above[i])
            & (value < above[i + 1])
            & (value < above[i + 2])
            & (value < row[i])
            & (value <= row[i + 2])
            & (value <= below[i])
            & (value <= below[i + 1])
            & (value <= below[i + 2])
        )
        marks[i] = peak | pit


@kernel
def refine_place(
    edges: Flat, at: int, columns: int, sign: float, ratio_max: float
) -> tuple[bool, float, float]:
    """Fit a paraboloid: whether it is a blob and no edge, and the offsets down and across."""
    value = 2 * sign * edges[at]
    across = sign * (edges[at + 1] + edges[at - 1]) - value
    down = sign * (edges[at + columns] + edges[at - columns]) - value
    both = (sign / 4) * (
        edges[at + columns + 1]
        + edges[at - columns - 1]
        - edges[at + columns - 1]
        - edges[at - columns + 1]
    )
    bend = across * down - both * both
    if bend <= 0 or (across + down) ** 2 * ratio_max >= (ratio_max + 1) ** 2 * bend:
        return False, 0.0, 0.0
    slope_x = (sign / 2) * (edges[at + 1] - edges[at - 1])
    slope_y = (sign / 2) * (edges[at + columns] - edges[at - columns])
    x = (both * slope_y - down * slope_x) / bend
    y = (both * slope_x - across * slope_y) / bend
    return True, min(max(y, -0.5), 0.5), min(max(x, -0.5), 0.5)


@kernel
def sample_other(
    edges: Flat, starts: Ints, shapes: Ints, level: int, other: int, y: float, x: float
) -> float:
    """Interpolate another level at a place of this one."""
    rows, columns = shapes[other]
    other_y = (y + 0.5) * rows / shapes[level, 0] - 0.5
    other_x = (x + 0.5) * columns / shapes[level, 1] - 0.5
    return sample(edges, starts[other], rows, columns, other_y, other_x)


@kernel
def refine_level(finer: float, value: float, coarser: float) -> float:
    """Fit a parabola through three levels: the offset of its top, in levels."""
    bend = finer + coarser - 2 * value
    return 0.0 if bend >= 0 else min(max((finer - coarser) / (2 * bend), -0.5), 0.5)


@entrance
def find_extrema(
    edges: Flat,
    starts: Ints,
    shapes: Ints,
    strength_min: float,
    margin: int,
    ratio_max: float,
    points: Floats,
) -> int:
    """Fill rows of (level, y, x, level offset, strength), in pixels of the level.

    A point is extreme among its eight neighbours and against both neighbouring levels.

    Returns:
        How many there are, at most the rows given.
    """
    marks = np.empty(shapes[:, 1].max(), np.bool_)
    least = np.float32(strength_min)
    return _gather_extrema(edges, starts, shapes, least, margin, ratio_max, marks, points)


@kernel
def _gather_extrema(
    edges: Flat,
    starts: Ints,
    shapes: Ints,
    least: np.float32,
    margin: int,
    ratio_max: float,
    marks: Bits,
    points: Floats,
) -> int:
    """Do what `find_extrema` says, with room for the marks of a row."""
    count = 0
    for level in range(1, len(starts) - 1):
        rows, columns = shapes[level]
        inner = marks[: max(columns - 2, 0)]
        for row in range(margin, rows - margin):
            at = starts[level] + row * columns
            above, line = edges[at - columns : at], edges[at : at + columns]
            mark_extrema(above, line, edges[at + columns : at + 2 * columns], least, inner)
            for column in range(margin, columns - margin):
                if marks[column - 1] and count < len(points):
                    place = points[count]
                    count += refine_point(
                        edges, starts, shapes, level, row, column, ratio_max, place
                    )
    return count


@kernel
def refine_point(
    edges: Flat,
    starts: Ints,
    shapes: Ints,
    level: int,
    row: int,
    column: int,
    ratio_max: float,
    place: Floats,
) -> bool:
    """Fill a row of `find_extrema`, unless the pixel is on an edge or a neighbour is stronger."""
    columns = shapes[level, 1]
    at = starts[level] + row * columns + column
    sign = 1.0 if edges[at] > 0 else -1.0
    blob, down, across = refine_place(edges, at, columns, sign, ratio_max)
    if not blob:
        return False
    strength = sign * edges[at]
    y, x = row + down, column + across
    finer = sign * sample_other(edges, starts, shapes, level, level - 1, y, x)
    coarser = sign * sample_other(edges, starts, shapes, level, level + 1, y, x)
    if finer > strength or coarser > strength:
        return False
    place[0] = level
    place[1] = y
    place[2] = x
    place[3] = refine_level(finer, strength, coarser)
    place[4] = strength
    return True


@kernel
def sample_inside(pixels: Flat, start: int, columns: int, y: float, x: float) -> float:
    """Interpolate as `sample` does, where all four pixels around the place are."""
    row = int(y)
    column = int(x)
    at = start + row * columns + column
    share = x - column
    top = pixels[at] + (pixels[at + 1] - pixels[at]) * share
    below = at + columns
    bottom = pixels[below] + (pixels[below + 1] - pixels[below]) * share
    return float(top + (bottom - top) * (y - row))


@kernel
def take_patch(
    pixels: Flat,
    start: int,
    rows: int,
    columns: int,
    y: float,
    x: float,
    down_step: float,
    across_step: float,
    patch: Floats,
) -> None:
    """Sample a square patch around a place; a step along it goes so far down and across."""
    side = len(patch)
    half = (side - 1) / 2
    # Of a patch that is well inside no sample has to be looked at for the borders.
    reach = half * (abs(down_step) + abs(across_step)) + 1
    inside = reach <= y <= rows - 1 - reach and reach <= x <= columns - 1 - reach
    for j in range(side):
        v = j - half
        for i in range(side):
            u = i - half
            down = y + u * down_step + v * across_step
            across = x + u * across_step - v * down_step
            patch[j, i] = (
                sample_inside(pixels, start, columns, down, across)
                if inside
                else sample(pixels, start, rows, columns, down, across)
            )


@kernel
def find_angle(
    pixels: Flat,
    start: int,
    rows: int,
    columns: int,
    y: float,
    x: float,
    step: float,
    side: int,
    radius: float,
) -> float:
    """Point from a place to the centroid of brightness within a disc of an upright patch.

    The patch has side x side samples, a step apart; the radius is in samples.
    """
    half = (side - 1) / 2
    down = 0.0
    across = 0.0
    for j in range(side):
        v = j - half
        for i in range(side):
            u = i - half
            if u * u + v * v <= radius * radius:
                shade = sample(pixels, start, rows, columns, y + v * step, x + u * step)
                across += u * shade
                down += v * shade
    return math.atan2(down, across)


@kernel
def transform_patch(patch: Floats, basis: Floats, rowed: Floats, spectrum: Floats) -> None:
    """Fill `spectrum`, (frequencies, frequencies), with a patch's DCT, down and across.

    `rowed`, (frequencies, side), is room to work in. The inner loops run over results, not
    over a sum: so they are done many at once, and each sum keeps its order.
    """
    side = len(patch)
    for u in range(len(basis)):
        rowed[u] = 0.0
        for j in range(side):
            for i in range(side):
                rowed[u, i] += basis[u, j] * patch[j, i]
    for u in range(len(basis)):
        spectrum[u] = 0.0
        for i in range(side):
            for v in range(len(basis)):
                spectrum[u, v] += rowed[u, i] * basis[v, i]


@kernel
def sign_patch(
    patch: Floats, basis: Floats, us: Ints, vs: Ints, rowed: Floats, spectrum: Floats
) -> tuple[np.uint64, float]:
    """Take the DCT at frequencies (us, vs): its signs, the first lowest, and its energy.

    The last two arguments are room to work in, as `transform_patch` says.
    """
    transform_patch(patch, basis, rowed, spectrum)
    code = np.uint64(0)
    energy = 0.0
    for bit in range(len(us)):
        total = spectrum[us[bit], vs[bit]]
        energy += total * total
        if total > 0:
            code |= np.uint64(1) << np.uint64(bit)
    return code, energy


@entrance
def describe_points(
    pixels: Flat,
    starts: Ints,
    shapes: Ints,
    points: Floats,
    half_width: float,
    disc_radius: float,
    basis: Floats,
    us: Ints,
    vs: Ints,
    angles: Floats,
    codes: NDArray[np.uint64],
) -> None:
    """Give every point of `find_extrema` its angle and the code of its oriented patch."""
    frequencies, side = basis.shape
    patch = np.empty((side, side))
    rowed = np.empty((frequencies, side))
    spectrum = np.empty((frequencies, frequencies))
    for k in range(len(points)):
        level = int(points[k, 0])
        rows, columns = shapes[level]
        start, y, x = starts[level], points[k, 1], points[k, 2]
        step = 2 * half_width / side * 2.0 ** (points[k, 3] / 2)
        angle = find_angle(pixels, start, rows, columns, y, x, step, side, disc_radius)
        down, across = step * math.sin(angle), step * math.cos(angle)
        take_patch(pixels, start, rows, columns, y, x, down, across, patch)
        codes[k], _ = sign_patch(patch, basis, us, vs, rowed, spectrum)
        angles[k] = angle
