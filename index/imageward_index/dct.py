"""Which frequencies of a DCT become the bits of a code, lowest first."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def lowest_frequencies(samples: int, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The `count` lowest frequencies but the zeroth, down and across, by u^2 + v^2."""
    pairs = ((u, v) for u in range(samples) for v in range(samples) if u or v)
    lowest = sorted(pairs, key=lambda pair: (pair[0] ** 2 + pair[1] ** 2, pair))[:count]
    us, vs = np.array(lowest, dtype=np.int64).T.copy()
    return us, vs


def cosines(samples: int, frequency_max: int) -> NDArray[np.float64]:
    """(frequency_max + 1, samples): the orthonormal basis of the DCT-II.

    By `math.cos`, so that the table is the same wherever numpy is vectorised otherwise.
    """
    basis = np.array(
        [
            [math.cos(math.pi / (2 * samples) * u * (2 * i + 1)) for i in range(samples)]
            for u in range(frequency_max + 1)
        ]
    )
    basis *= math.sqrt(2 / samples)
    basis[0] *= math.sqrt(0.5)
    return basis
