"""From one pair of codes to a map of the whole picture: match, fit, match closer. Compiled.

1. The pair's frames give a similarity.
2. Other codes are paired where the map so far puts them: near in place, size and angle,
   and within a wide radius in bits, which the place makes safe.
3. An affine map is fitted to the pairs, and the gate drawn closer; then a homography.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from imageward_index.compiled import compiled
from imageward_index.homography import fit_affine, fit_homography, map_frame, similarity_between

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Codes = NDArray[np.uint64]

PAIR_RADIUS_BITS = 16

# Gates: in units of the banked picture's longer side, octaves and radians.
_SEED_REACH = 0.02
_SEED_SPREAD = 0.2
_REACHES = (0.04, 0.02, 0.015)
_SEED_OCTAVES = 0.6
_OCTAVES = 0.5
_SEED_TURN = 0.5
_TURN = 0.4
_ARM = 16.0
_ARM_WEIGHT = 0.1
_PAIRS_MIN = 2
_HOMOGRAPHY_PAIRS_MIN = 8
_RIDGE = 0.01


@compiled
def count_bits(code: np.uint64) -> int:
    """Count the ones of a uint64."""
    code = code - ((code >> np.uint64(1)) & np.uint64(0x5555555555555555))
    code = (code & np.uint64(0x3333333333333333)) + (
        (code >> np.uint64(2)) & np.uint64(0x3333333333333333)
    )
    code = (code + (code >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return int((code * np.uint64(0x0101010101010101)) >> np.uint64(56))


@compiled
def is_near(mapped: Floats, frame: Floats, reach: float, octaves: float, turn_max: float) -> bool:
    """Say whether a mapped frame lies on another, by place, size and angle."""
    across = mapped[0] - frame[0]
    down = mapped[1] - frame[1]
    if across * across + down * down > reach * reach:
        return False
    ratio = mapped[2] / frame[2]
    if ratio > 2.0**octaves or ratio < 2.0**-octaves:
        return False
    turn = abs(mapped[3] - frame[3])
    return bool(min(turn, 2 * math.pi - turn) <= turn_max)


@compiled
def pair_codes(
    codes: Codes,
    frames: Floats,
    to_codes: Codes,
    to_frames: Floats,
    matrix: Floats,
    centre: Floats,
    reach: float,
    spread: float,
    octaves: float,
    turn_max: float,
) -> Ints:
    """Pair codes where the map puts them, each at most once; the reach grows from a centre.

    Returns:
        int64, (n, 2): rows of the one and of the other.
    """
    mapped = np.empty((len(codes), 4))
    free = np.empty(len(codes), np.bool_)
    for i in range(len(codes)):
        free[i] = map_frame(matrix, frames[i], mapped[i])
    pairs = np.empty((min(len(codes), len(to_codes)), 2), np.int64)
    count = 0
    for k in range(len(to_codes)):
        frame = to_frames[k]
        far = reach + spread * math.hypot(frame[0] - centre[0], frame[1] - centre[1])
        nearest = -1
        nearest_bits = PAIR_RADIUS_BITS + 1
        for i in range(len(codes)):
            if free[i] and is_near(mapped[i], frame, far, octaves, turn_max):
                bits = count_bits(codes[i] ^ to_codes[k])
                if bits < nearest_bits:
                    nearest, nearest_bits = i, bits
        if nearest >= 0:
            free[nearest] = False
            pairs[count, 0] = nearest
            pairs[count, 1] = k
            count += 1
    return pairs[:count]


@compiled
def align_seed(
    codes: Codes,
    frames: Floats,
    to_codes: Codes,
    to_frames: Floats,
    seed: int,
    to_seed: int,
) -> tuple[int, Floats]:
    """Grow one pair of codes to a map of the picture.

    Returns:
        How many pairs the map holds together, and the map, (3, 3).
    """
    best = similarity_between(frames[seed], to_frames[to_seed])
    centre = to_frames[to_seed]
    pairs = pair_codes(
        codes, frames, to_codes, to_frames, best, centre,
        _SEED_REACH, _SEED_SPREAD, _SEED_OCTAVES, _SEED_TURN,
    )  # fmt: skip
    count = 1
    for reach in _REACHES:
        if len(pairs) < _PAIRS_MIN:
            return count, best
        solved, matrix = fit_affine(frames, to_frames, pairs, _ARM, _ARM_WEIGHT)
        if not solved:
            return count, best
        pairs = pair_codes(
            codes, frames, to_codes, to_frames, matrix, centre, reach, 0.0, _OCTAVES, _TURN
        )
        count, best = len(pairs), matrix
    for _ in range(2):
        if len(pairs) < _HOMOGRAPHY_PAIRS_MIN:
            return count, best
        solved, matrix = fit_homography(frames, to_frames, pairs, _RIDGE)
        if not solved:
            return count, best
        pairs = pair_codes(
            codes, frames, to_codes, to_frames, matrix, centre, _REACHES[-1], 0.0, _OCTAVES, _TURN
        )
        if len(pairs) >= count:
            count, best = len(pairs), matrix
    return count, best
