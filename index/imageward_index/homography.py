"""Plane maps as 3 x 3 matrices: applied, estimated. Compiled, and nothing else.

A map takes (x, y, 1) to (x', y', w'); places behind the camera have a small w' or none.
A pose is a place with a size and a direction: x, y, size, cosine, sine.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from imageward_index.intrinsics import entrance, kernel

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_PIVOT_MIN = 1e-12


@kernel
def map_point(matrix: Floats, x: float, y: float) -> tuple[float, float, float]:
    """Map a place; the third value is its divisor, and the others count only if it is > 0."""
    w = matrix[2, 0] * x + matrix[2, 1] * y + matrix[2, 2]
    if w <= 0.0:
        return 0.0, 0.0, w
    to_x = (matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2]) / w
    to_y = (matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2]) / w
    return to_x, to_y, w


@entrance
def take_poses(frames: Floats) -> Floats:
    """Turn frames (x, y, size, angle), (n, 4), to poses, (n, 5)."""
    poses = np.empty((len(frames), 5))
    for i in range(len(frames)):
        poses[i, :3] = frames[i, :3]
        poses[i, 3] = math.cos(frames[i, 3])
        poses[i, 4] = math.sin(frames[i, 3])
    return poses


@kernel
def map_pose(matrix: Floats, pose: Floats, mapped: Floats) -> bool:
    """Map a pose by the map's derivative there; False if it cannot be."""
    x, y, w = map_point(matrix, pose[0], pose[1])
    if w <= 0.0:
        return False
    xx = (matrix[0, 0] - x * matrix[2, 0]) / w
    xy = (matrix[0, 1] - x * matrix[2, 1]) / w
    yx = (matrix[1, 0] - y * matrix[2, 0]) / w
    yy = (matrix[1, 1] - y * matrix[2, 1]) / w
    across = xx * pose[3] + xy * pose[4]
    down = yx * pose[3] + yy * pose[4]
    length = math.sqrt(across * across + down * down)
    area = abs(xx * yy - xy * yx)
    if length <= 0.0 or area <= 0.0:
        return False
    mapped[0] = x
    mapped[1] = y
    mapped[2] = pose[2] * math.sqrt(area)
    mapped[3] = across / length
    mapped[4] = down / length
    return True


@kernel
def map_area(matrix: Floats, x: float, y: float) -> float:
    """Tell by how much the map scales areas at a place; 0.0 where it cannot be mapped."""
    to_x, to_y, w = map_point(matrix, x, y)
    if w <= 0.0:
        return 0.0
    xx = (matrix[0, 0] - to_x * matrix[2, 0]) / w
    xy = (matrix[0, 1] - to_x * matrix[2, 1]) / w
    yx = (matrix[1, 0] - to_y * matrix[2, 0]) / w
    yy = (matrix[1, 1] - to_y * matrix[2, 1]) / w
    return float(abs(xx * yy - xy * yx))


@entrance
def similarity_between(pose: Floats, to: Floats) -> Floats:
    """The turn, scale and shift that put one pose on another."""
    scale = to[2] / pose[2]
    cosine = scale * (to[3] * pose[3] + to[4] * pose[4])
    sine = scale * (to[4] * pose[3] - to[3] * pose[4])
    matrix = np.zeros((3, 3))
    matrix[0, 0] = cosine
    matrix[0, 1] = -sine
    matrix[1, 0] = sine
    matrix[1, 1] = cosine
    matrix[0, 2] = to[0] - cosine * pose[0] + sine * pose[1]
    matrix[1, 2] = to[1] - sine * pose[0] - cosine * pose[1]
    matrix[2, 2] = 1.0
    return matrix


@kernel
def swap_rows(matrix: Floats, i: int, j: int) -> None:
    """Swap two rows in place."""
    for column in range(matrix.shape[1]):
        matrix[i, column], matrix[j, column] = matrix[j, column], matrix[i, column]


@entrance
def solve(matrix: Floats, right: Floats) -> bool:
    """Solve matrix @ x = right in place, by elimination with pivots; False if singular."""
    size = len(matrix)
    for i in range(size):
        pivot = i + int(np.argmax(np.abs(matrix[i:, i])))
        if abs(matrix[pivot, i]) < _PIVOT_MIN:
            return False
        swap_rows(matrix, i, pivot)
        swap_rows(right, i, pivot)
        for row in range(size):
            factor = matrix[row, i] / matrix[i, i]
            if row != i and factor != 0.0:
                for j in range(i, size):
                    matrix[row, j] -= factor * matrix[i, j]
                for j in range(right.shape[1]):
                    right[row, j] -= factor * right[i, j]
    for i in range(size):
        for j in range(right.shape[1]):
            right[i, j] /= matrix[i, i]
    return True


@kernel
def tip_of(pose: Floats, arm: float, quarter: int) -> tuple[float, float]:
    """The end of an arm of so many sizes along a pose's direction, or a quarter turn on."""
    length = arm * pose[2]
    if quarter:
        return pose[0] - length * pose[4], pose[1] + length * pose[3]
    return pose[0] + length * pose[3], pose[1] + length * pose[4]


@kernel
def add_equation(
    matrix: Floats, right: Floats, place: Floats, x: float, y: float, w: float
) -> None:
    """Add a weighted observation, place -> (x, y), to the normal equations of an affine map."""
    for i in range(3):
        for j in range(3):
            matrix[i, j] += w * place[i] * place[j]
        right[i, 0] += w * place[i] * x
        right[i, 1] += w * place[i] * y


@entrance
def fit_affine(
    poses: Floats, to: Floats, pairs: Ints, arm: float, arm_weight: float
) -> tuple[bool, Floats]:
    """Fit the affine map of paired poses by least squares.

    Of each pose the centre counts, and the tips of two arms with a small weight: so
    even one pair gives a map, and a few in a row do not leave it loose.
    """
    matrix = np.zeros((3, 3))
    right = np.zeros((3, 2))
    place = np.ones(3)
    for k in range(len(pairs)):
        pose, target = poses[pairs[k, 0]], to[pairs[k, 1]]
        place[0], place[1] = pose[0], pose[1]
        add_equation(matrix, right, place, target[0], target[1], 1.0)
        for quarter in range(2):
            place[0], place[1] = tip_of(pose, arm, quarter)
            x, y = tip_of(target, arm, quarter)
            add_equation(matrix, right, place, x, y, arm_weight)
    solved = solve(matrix, right)
    fitted = np.zeros((3, 3))
    fitted[0] = right[:, 0]
    fitted[1] = right[:, 1]
    fitted[2, 2] = 1.0
    return solved, fitted


@entrance
def fit_homography(poses: Floats, to: Floats, pairs: Ints, ridge: float) -> tuple[bool, Floats]:
    """Fit the homography of paired places by linear least squares.

    The two terms of perspective are held towards zero by `ridge`, at the centre of the
    places, so that a few pairs close together do not make a wild map.
    """
    matrix = np.zeros((8, 8))
    right = np.zeros((8, 1))
    row = np.zeros(8)
    middle_x = poses[pairs[:, 0], 0].mean()
    middle_y = poses[pairs[:, 0], 1].mean()
    for k in range(len(pairs)):
        x = poses[pairs[k, 0], 0] - middle_x
        y = poses[pairs[k, 0], 1] - middle_y
        for axis in range(2):
            target = to[pairs[k, 1], axis]
            row[:] = 0.0
            row[3 * axis] = x
            row[3 * axis + 1] = y
            row[3 * axis + 2] = 1.0
            row[6] = -x * target
            row[7] = -y * target
            for i in range(8):
                for j in range(8):
                    matrix[i, j] += row[i] * row[j]
                right[i, 0] += row[i] * target
    matrix[6, 6] += ridge
    matrix[7, 7] += ridge
    solved = solve(matrix, right)
    fitted = np.ones((3, 3))
    fitted[0] = right[0:3, 0]
    fitted[1] = right[3:6, 0]
    fitted[2, :2] = right[6:8, 0]
    fitted[:, 2] -= fitted[:, 0] * middle_x + fitted[:, 1] * middle_y
    return solved, fitted
