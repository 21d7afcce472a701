"""From pairs of codes to maps of the whole picture: match, fit, match closer. Compiled.

1. All pairs of codes within a wide radius in bits are listed once.
2. A seed, one pair that is nearer, gives a similarity.
3. Of the listed pairs those are kept that lie where the map so far puts them: near in
   place, size and angle, which makes the wide radius safe.
4. An affine map is fitted to them, and the gate drawn closer; then a homography.
"""

# numba tells machine integers from each other, the annotations call them all int.
# mypy: disable-error-code="assignment"

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from imageward_index.homography import (
    fit_affine,
    fit_homography,
    map_pose,
    similarity_between,
    take_poses,
)
from imageward_index.intrinsics import (
    WORD_LANES,
    entrance,
    kernel,
    lowest_bit,
    near_words,
    popcount,
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Codes = NDArray[np.uint64]
Bits = NDArray[np.bool_]

PAIR_RADIUS_BITS = 16
LISTED_MAX = 8_192
"""Pairs that are listed: ten times what two equal pictures have, some hundreds."""

# Gates: in units of the banked picture's longer side, octaves and radians.
_SEED_REACH = 0.02
_SEED_SPREAD = 0.2
_REACHES = (0.04, 0.02, 0.015)
_SEED_RATIO = 2.0**0.6
_RATIO = 2.0**0.5
_SEED_COSINE = math.cos(0.5)
_COSINE = math.cos(0.4)
_ARM = 16.0
_ARM_WEIGHT = 0.1
_PAIRS_MIN = 2
_HOMOGRAPHY_PAIRS_MIN = 8
_RIDGE = 0.01


@entrance
def list_pairs(codes: Codes, to_codes: Codes, listed: Ints) -> int:
    """Fill rows of (row of the one, row of the other, bits between them), by the other.

    Returns:
        How many there are, at most the rows given.
    """
    length = len(codes)
    # Eight codes are compared at a time: what lies behind the last is read, and left out.
    padded = np.zeros(length + WORD_LANES, np.uint64)
    padded[:length] = codes
    count = 0
    for k in range(len(to_codes)):
        for first in range(0, length, WORD_LANES):
            near = near_words(padded, first, to_codes[k], np.uint64(PAIR_RADIUS_BITS))
            if length - first < WORD_LANES:
                near &= np.uint64((1 << (length - first)) - 1)
            while near != 0 and count < len(listed):
                i = first + lowest_bit(near)
                near &= near - np.uint64(1)
                listed[count, 0] = i
                listed[count, 1] = k
                listed[count, 2] = popcount(codes[i] ^ to_codes[k])
                count += 1
    return count


@kernel
def is_near(mapped: Floats, pose: Floats, reach: float, ratio_max: float, cosine: float) -> bool:
    """Say whether a mapped pose lies on another, by place, size and direction."""
    across = mapped[0] - pose[0]
    down = mapped[1] - pose[1]
    if across * across + down * down > reach * reach:
        return False
    if mapped[2] > pose[2] * ratio_max or pose[2] > mapped[2] * ratio_max:
        return False
    return bool(mapped[3] * pose[3] + mapped[4] * pose[4] >= cosine)


@kernel
def keep_pairs(
    listed: Ints,
    poses: Floats,
    to_poses: Floats,
    matrix: Floats,
    centre: Floats,
    reach: float,
    spread: float,
    ratio_max: float,
    cosine: float,
    free: Bits,
    mapped: Floats,
    kept: Ints,
) -> int:
    """Keep of the listed pairs what lies where the map puts it, each code at most once.

    The reach grows from a centre by `spread`. Of a code's partners the nearest in bits
    that is still free counts. `free`, one for each pose, and `mapped`, (5,), are room to
    work in.

    Returns:
        How many rows of `kept`, (n, 2), are filled.
    """
    free[:] = True
    count = 0
    at = 0
    while at < len(listed):
        k = listed[at, 1]
        pose = to_poses[k]
        far = reach + spread * math.hypot(pose[0] - centre[0], pose[1] - centre[1])
        nearest = -1
        nearest_bits = PAIR_RADIUS_BITS + 1
        while at < len(listed) and listed[at, 1] == k:
            i, bits = listed[at, 0], listed[at, 2]
            at += 1
            if (
                bits < nearest_bits
                and free[i]
                and map_pose(matrix, poses[i], mapped)
                and is_near(mapped, pose, far, ratio_max, cosine)
            ):
                nearest, nearest_bits = i, bits
        if nearest >= 0:
            free[nearest] = False
            kept[count, 0] = nearest
            kept[count, 1] = k
            count += 1
    return count


@entrance
def grow_seed(
    listed: Ints, poses: Floats, to_poses: Floats, seed: Ints, free: Bits, kept: Ints
) -> tuple[int, Floats]:
    """Grow one pair of codes to a map of the picture.

    Returns:
        How many pairs the map holds together, the last in `kept`, and the map, (3, 3).
    """
    mapped = np.empty(5)
    centre = to_poses[seed[1]]
    best = similarity_between(poses[seed[0]], centre)
    found = keep_pairs(
        listed, poses, to_poses, best, centre,
        _SEED_REACH, _SEED_SPREAD, _SEED_RATIO, _SEED_COSINE, free, mapped, kept,
    )  # fmt: skip
    count = 1
    for reach in _REACHES:
        if found < _PAIRS_MIN:
            return count, best
        solved, matrix = fit_affine(poses, to_poses, kept[:found], _ARM, _ARM_WEIGHT)
        if not solved:
            return count, best
        found = keep_pairs(
            listed, poses, to_poses, matrix, centre,
            reach, 0.0, _RATIO, _COSINE, free, mapped, kept,
        )  # fmt: skip
        count, best = found, matrix
    for _ in range(2):
        if found < _HOMOGRAPHY_PAIRS_MIN:
            return count, best
        solved, matrix = fit_homography(poses, to_poses, kept[:found], _RIDGE)
        if not solved:
            return count, best
        found = keep_pairs(
            listed, poses, to_poses, matrix, centre,
            _REACHES[-1], 0.0, _RATIO, _COSINE, free, mapped, kept,
        )  # fmt: skip
        if found >= count:
            count, best = found, matrix
    return count, best


@entrance
def grow_seeds(
    codes: Codes, frames: Floats, to_codes: Codes, to_frames: Floats, seeds: Ints
) -> tuple[Ints, Floats]:
    """Grow pairs of codes, (n, 2), to maps of the picture.

    A seed that an earlier map holds among its pairs would grow to the same, and is left.

    Returns:
        How many pairs each map holds together, (n,), 0 for those that were left; the
        maps, (n, 3, 3).
    """
    listed = np.empty((LISTED_MAX, 3), np.int64)
    listed = listed[: list_pairs(codes, to_codes, listed)]
    poses, to_poses = take_poses(frames), take_poses(to_frames)
    free = np.empty(len(codes), np.bool_)
    kept = np.empty((len(codes), 2), np.int64)
    held = np.zeros((len(codes), len(to_codes)), np.bool_)
    counts = np.zeros(len(seeds), np.int64)
    maps = np.zeros((len(seeds), 3, 3))
    for n in range(len(seeds)):
        if held[seeds[n, 0], seeds[n, 1]]:
            continue
        count, matrix = grow_seed(listed, poses, to_poses, seeds[n], free, kept)
        counts[n] = count
        maps[n] = matrix
        for pair in kept[:count]:
            held[pair[0], pair[1]] = True
    return counts, maps
