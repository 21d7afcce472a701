"""The compiled loop that reads the places, sizes and angles of a fingerprint's codes.

A check reads some dozens of fingerprints, and a line of numpy for each of the four takes
ten times as long.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from imageward_index.intrinsics import kernel

Floats = NDArray[np.float64]


@kernel
def unpack_frames(
    packed: NDArray[np.uint32],
    across: float,
    down: float,
    sizes: Floats,
    angles: Floats,
    frames: Floats,
) -> None:
    """Fill frames, (n, 4), from what `fingerprint` says each of (n,) words holds.

    Args:
        packed: x 10 bits, y 10, size 5, angle 7, the lowest first.
        across: what a step of x is.
        down: what a step of y is.
        sizes: (32,), what each size is.
        angles: (128,), what each angle is.
        frames: filled with x, y, size, angle.
    """
    for i in range(len(packed)):
        word = packed[i]
        frames[i, 0] = (word & 1023) * across
        frames[i, 1] = (word >> 10 & 1023) * down
        frames[i, 2] = sizes[word >> 20 & 31]
        frames[i, 3] = angles[word >> 25]
