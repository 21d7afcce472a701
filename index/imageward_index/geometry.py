"""Verify: whether a banked picture lies in a query where a pair of codes says, and how much.

1. `guided_match` grows the pair to a map of the whole picture.
2. The banked picture's windows are looked at through the map, in the query.
3. A window counts for if it is textured and looks alike; against if it is textured and
   looks otherwise, or is smooth in the bank and textured in the query.
4. Coverage is the larger of the share of the banked picture that is found, and the share
   of the query that it explains.

It knows neither the index nor policies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from imageward_index.grid import TEXTURE_MIN, WINDOWS_A_SIDE, Grid, see_grid
from imageward_index.guided_match import align_seed
from imageward_index.pyramid import Pyramid
from imageward_index.regions import Regions

WINDOW_RADIUS_BITS: Final = 3
INLIERS_MIN: Final = 2
WINDOWS_MIN: Final = 4

_DETERMINANT_MIN: Final = 1e-9
_LATTICE: Final = 24
_WINDOW_BITS: Final = 16

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """One picture that is looked for: its pyramid, and its regions, mirrored or not."""

    pyramid: Pyramid
    regions: Regions
    mirrored: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Alignment:
    """How surely a banked picture lies in a query, and where.

    Attributes:
        to_bank: (3, 3), from places of the query to places of the banked picture, in
            units of the longer side of each.
        inliers: pairs of codes that the map holds together.
        windows: windows of the bank that look alike in the query.
        against: windows that do not.
        distance_bits: mean over the windows alike, 0..3 of 16.
        coverage: 0..1.
    """

    to_bank: Matrix
    inliers: int
    windows: int = 0
    against: int = 0
    distance_bits: float = 0.0
    coverage: float = 0.0


def align(query: Query, bank: Regions, seed: tuple[int, int]) -> tuple[int, Matrix]:
    """Grow a pair of codes to a map; how many pairs it holds, and it, query to bank."""
    inliers, to_bank = align_seed(
        query.regions.codes, query.regions.frames, bank.codes, bank.frames, *seed
    )
    if query.mirrored:
        to_bank = to_bank @ _mirror(query.regions.width)
    return inliers, to_bank


def verify(query: Query, bank: Regions, grid: Grid, inliers: int, to_bank: Matrix) -> Alignment:
    """Look at the banked picture's windows through a map."""
    if abs(np.linalg.det(to_bank)) < _DETERMINANT_MIN:
        return Alignment(to_bank, inliers)
    view = see_grid(query.pyramid, bank.width, bank.height, np.linalg.inv(to_bank))
    seen = view.inside & grid.textured
    distances = np.bitwise_count(view.signs ^ grid.signs)
    alike = seen & (distances <= WINDOW_RADIUS_BITS)
    # Something stands where the bank has a plain wall.
    intruding = view.inside & ~grid.textured & _INNER & (view.contrasts >= 2 * TEXTURE_MIN)
    windows = int(alike.sum())
    if not windows:
        return Alignment(to_bank, inliers)
    against = int(seen.sum() + intruding.sum()) - windows
    of_bank = windows / int(grid.textured.sum() + intruding.sum())
    of_seen = windows / (windows + against)
    return Alignment(
        to_bank,
        inliers,
        windows,
        against,
        float(distances[alike].mean()),
        max(of_bank, of_seen * share_within(to_bank, query.pyramid, bank)),
    )


def share_within(to_bank: Matrix, query: Pyramid, bank: Regions) -> float:
    """The share of the query that a map puts within the banked picture, by a lattice."""
    at = (np.arange(_LATTICE) + 0.5) / _LATTICE
    xs, ys = np.meshgrid(at * query.width, at * query.height)
    x, y, w = to_bank @ np.stack([xs.ravel(), ys.ravel(), np.ones(xs.size)])
    within = (w > 0) & (x >= 0) & (y >= 0) & (x <= bank.width * w) & (y <= bank.height * w)
    return float(within.mean())


def _mirror(width: float) -> Matrix:
    return np.array([[-1.0, 0.0, width], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])


def _inner() -> NDArray[np.bool_]:
    # At the rim a map that is half a pixel off sees what lies around the picture.
    inner = np.zeros((WINDOWS_A_SIDE, WINDOWS_A_SIDE), np.bool_)
    inner[1:-1, 1:-1] = True
    return inner.ravel()


_INNER: Final = _inner()
