"""Verify: whether a banked picture lies in a query where a pair of codes says, and how much.

1. `guided_match` grows the pair to a map of the whole picture.
2. The banked picture's windows are looked at through the map, in the query.
3. A window counts for if it is textured and looks alike; against if it is textured and
   looks otherwise, or is smooth in the bank and textured in the query.
4. Coverage is the larger of the share of the banked picture that is found, and the share
   of the query that it explains.

How much coverage is enough depends on how alike the windows are that count: where a
picture itself was found they are nearly equal, where two pictures share an overlay they
are mixed with what lies around it. It knows neither the index nor policies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from imageward_index.box import Box
from imageward_index.grid import WINDOW_RADIUS_BITS, Grid, compare_grid, fit_grid
from imageward_index.guided_match import grow_seeds
from imageward_index.pyramid import Pyramid
from imageward_index.regions import Regions

INLIERS_MIN: Final = 2
WINDOWS_MIN: Final = 4

COVERAGE_MIN: Final = 0.35
COVERAGE_EXACT: Final = 0.12
COVERAGE_PER_BIT: Final = 0.68
COVERAGE_FOR_FEW: Final = 0.20
WINDOWS_MANY: Final = 64
COVERAGE_ENOUGH: Final = 0.75
"""Certain is a coverage of 0.12 and 0.68 for each bit of mean distance, but at least 0.35; up
to 0.20 more where fewer than 64 windows are seen; 0.75 is always enough."""

COVERAGE_DOUBTFUL: Final = 0.25
"""From here on a person may want to look."""

COVERAGE_HOPEFUL: Final = 0.10
"""From here on it pays to fit the map closer."""

# Of the banked picture's longer side, that windows are looked for around their places.
_STEPS: Final = (0.016, 0.016, 0.008, 0.004)
_DETERMINANT_MIN: Final = 1e-9
_LATTICE: Final = 24

Matrix = NDArray[np.floating]


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """A part of a picture that is looked up.

    Attributes:
        pyramid: of the part, as it is.
        regions: of the part, mirrored or not.
        content: which part of the picture it is.
        mirrored: whether the regions are.
    """

    pyramid: Pyramid
    regions: Regions
    content: Box
    mirrored: bool = False

    def mirror(self) -> Query:
        """Look for the picture with left and right swapped; the pyramid stays as it is."""
        return Query(self.pyramid, self.regions.mirror(), self.content, not self.mirrored)


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

    @property
    def margin(self) -> float:
        """How far the coverage is above what is enough; below 0 it is not."""
        few = max(0.0, 1 - (self.windows + self.against) / WINDOWS_MANY)
        needed = max(COVERAGE_MIN, COVERAGE_EXACT + COVERAGE_PER_BIT * self.distance_bits)
        needed += COVERAGE_FOR_FEW * few
        return self.coverage - min(needed, COVERAGE_ENOUGH)

    @property
    def is_certain(self) -> bool:
        """Whether the pictures are the same beyond doubt."""
        return self._has_evidence and self.margin >= 0

    @property
    def is_doubtful(self) -> bool:
        """Whether they may be the same, and a person should say."""
        return self._has_evidence and self.margin < 0 and self.coverage >= COVERAGE_DOUBTFUL

    @property
    def may_be_more(self) -> bool:
        """Whether it pays to fit the map closer."""
        return self.inliers >= INLIERS_MIN and self.coverage >= COVERAGE_HOPEFUL

    @property
    def _has_evidence(self) -> bool:
        return self.inliers >= INLIERS_MIN and self.windows >= WINDOWS_MIN


def align(
    query: Query, bank: Regions, seeds: Sequence[tuple[int, int]]
) -> list[tuple[int, Matrix]]:
    """Grow pairs of codes to maps; how many pairs each holds, and it, query to bank.

    A pair that an earlier map holds already is left out, and so is one that stays alone.
    """
    counts, maps = grow_seeds(
        query.regions.codes,
        query.regions.frames,
        bank.codes,
        bank.frames,
        np.array(seeds, np.int64).reshape(-1, 2),
    )
    after = _mirror(query.regions.width) if query.mirrored else np.eye(3)
    return [
        (count, to_bank @ after)
        for count, to_bank in zip(counts.tolist(), maps, strict=True)
        if count >= INLIERS_MIN
    ]


def verify(query: Query, bank: Regions, grid: Grid, inliers: int, to_bank: Matrix) -> Alignment:
    """Look at the banked picture's windows through a map."""
    if abs(np.linalg.det(to_bank)) < _DETERMINANT_MIN:
        return Alignment(to_bank, inliers)
    to_picture = np.linalg.inv(to_bank)
    distances, intruding = compare_grid(query.pyramid, grid, bank.width, bank.height, to_picture)
    alike = distances[(distances >= 0) & (distances <= WINDOW_RADIUS_BITS)]
    windows = len(alike)
    if not windows:
        return Alignment(to_bank, inliers)
    against = int((distances >= 0).sum()) + intruding - windows
    of_bank = windows / (int(grid.textured.sum()) + intruding)
    of_seen = windows / (windows + against)
    return Alignment(
        to_bank,
        inliers,
        windows,
        against,
        float(alike.mean()),
        max(of_bank, of_seen * share_within(to_bank, query.pyramid, bank)),
    )


def refine(query: Query, bank: Regions, grid: Grid, alignment: Alignment) -> Alignment:
    """Fit a map closer, by where the windows look most alike, as long as that helps."""
    best = alignment
    for step in _STEPS:
        to_picture = np.linalg.inv(best.to_bank)
        to_bank = fit_grid(query.pyramid, grid, bank.width, bank.height, to_picture, step)
        if to_bank is not None:
            tried = verify(query, bank, grid, best.inliers, to_bank)
            best = tried if tried.margin > best.margin else best
    return best


def map_corners(matrix: Matrix, width: float, height: float) -> Matrix | None:
    """Map the corners of a picture, clockwise from the top left, (4, 2); None beyond the plane."""
    corners = np.array([[0, 0, 1], [width, 0, 1], [width, height, 1], [0, height, 1]])
    x, y, w = matrix @ corners.T
    return np.stack([x / w, y / w], axis=1) if (w > 0).all() else None


def share_within(to_bank: Matrix, query: Pyramid, bank: Regions) -> float:
    """The share of the query that a map puts within the banked picture, by a lattice."""
    at = (np.arange(_LATTICE) + 0.5) / _LATTICE
    xs, ys = np.meshgrid(at * query.width, at * query.height)
    x, y, w = to_bank @ np.stack([xs.ravel(), ys.ravel(), np.ones(xs.size)])
    within = (w > 0) & (x >= 0) & (y >= 0) & (x <= bank.width * w) & (y <= bank.height * w)
    return float(within.mean())


def _mirror(width: float) -> Matrix:
    return np.array([[-1.0, 0.0, width], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
