"""By how much a large JPEG is reduced while it is decoded: one rule for all who plan with it.

It knows no decoder.
"""

from __future__ import annotations

from typing import Final

FACTORS: Final = (8, 4, 2)
"""By which libjpeg can divide the sides while it decodes, the most first."""


def reduction(sides: tuple[int, int], longer_side_min: int) -> int:
    """Say by how much the sides of a JPEG are divided: 1, 2, 4 or 8.

    Args:
        sides: rows and columns, as the file says.
        longer_side_min: pixels that the longer side keeps; the shorter keeps half of them.
    """
    for factor in FACTORS:
        if max(sides) >= factor * longer_side_min and 2 * min(sides) >= factor * longer_side_min:
            return factor
    return 1
