"""The compiled loop that reads every pixel of a picture for its PDQ hash."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from imageward_index.intrinsics import kernel

Floats = NDArray[np.float64]


@kernel
def weigh_rows(
    picture: NDArray[np.uint8] | Floats, firsts: NDArray[np.int64], weights: Floats, samples: Floats
) -> None:
    """Fill each row of `samples` with a weighted sum of rows of the picture.

    Args:
        picture: (H, W), C-contiguous.
        firsts: (n,), the first row that each sample reads.
        weights: (n, m), of the rows from there on, all of which there are.
        samples: (n, W), filled.
    """
    for sample in range(len(samples)):
        total = samples[sample]
        total[:] = 0.0
        for ahead in range(weights.shape[1]):
            weight = weights[sample, ahead]
            row = picture[firsts[sample] + ahead]
            for column in range(len(total)):
                total[column] += weight * row[column]
