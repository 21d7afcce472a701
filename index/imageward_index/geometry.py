"""Vote and verify: which banked picture lies in this one, where, and how surely."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from imageward_index import geometry_kernels as kernels
from imageward_index.grid import Grid, see_grid
from imageward_index.pyramid import Pyramid
from imageward_index.regions import Regions

import os
WINDOW_RADIUS: Final = int(os.environ.get("GR","3"))
QC=float(os.environ.get("QC","8"))
FLOOR=float(os.environ.get("GF","0.1"))
PAIR_RADIUS: Final = 16


@dataclass(frozen=True, slots=True, eq=False)
class Alignment:
    """How a banked picture lies in a query."""

    coverage: float
    inliers: int
    windows: int
    seen: int
    distance: float
    to_bank: NDArray[np.float64]
    bank_share: float = 0.0
    query_share: float = 0.0
    ratio: float = 0.0
    raw: object = None


def frames(regions: Regions) -> NDArray[np.float64]:
    return np.stack([regions.xs, regions.ys, regions.scales, regions.angles], axis=1)


def align(query: Regions, bank: Regions, seed: tuple[int, int]):
    """From one pair of codes to a homography query -> bank and its inliers."""
    q, b = frames(query), frames(bank)
    pairs = np.empty((len(bank), 2), dtype=np.int64)
    m = kernels.seed_similarity(q[seed[0]], b[seed[1]])
    x, y = b[seed[1], 0], b[seed[1], 1]
    count = kernels.match_guided(
        query.codes, q, bank.codes, b, m, x, y, 0.02, 0.2, PAIR_RADIUS, 0.6, 0.5, pairs
    )
    if count < 2:
        return m, count
    best_m, best_n = m, 1
    for gate in (0.04, 0.02, 0.015):
        ok, m = kernels.fit_affine(q, b, pairs, count, 16.0, 0.1)
        if not ok:
            break
        count = kernels.match_guided(
            query.codes, q, bank.codes, b, m, x, y, gate, 0.0, PAIR_RADIUS, 0.5, 0.4, pairs
        )
        if count < 2:
            break
        best_m, best_n = m, count
    else:
        if count >= 8:
            ok, m = kernels.fit_homography(q, b, pairs, count, 0.01)
            if ok:
                n = kernels.match_guided(
                    query.codes, q, bank.codes, b, m, x, y, 0.015, 0.0, PAIR_RADIUS, 0.5, 0.4, pairs
                )
                if n >= count:
                    ok, m2 = kernels.fit_homography(q, b, pairs, n, 0.01)
                    best_m, best_n = (m2 if ok else m), n
    return best_m, best_n


def overlap_share(query: Regions, bank: Regions, to_bank: NDArray[np.float64]) -> float:
    """The share of the query that lies in the banked picture, by a lattice of points."""
    at = (np.arange(24) + 0.5) / 24
    xs, ys = np.meshgrid(at * query.width, at * query.height)
    u, v, w = to_bank @ np.stack([xs.ravel(), ys.ravel(), np.ones(xs.size)])
    ok = w > 0.1
    u, v = u / np.where(ok, w, 1), v / np.where(ok, w, 1)
    return float(np.mean(ok & (u >= 0) & (v >= 0) & (u <= bank.width) & (v <= bank.height)))


def verify(
    pyramid: Pyramid, query: Regions, bank: Regions, grid: Grid, seed, mirrored: bool
) -> Alignment:
    m, inliers = align(query, bank, seed)
    inverse = np.linalg.inv(m) if abs(np.linalg.det(m)) > 1e-9 else None
    if inverse is None or inliers < 2:
        return Alignment(0.0, inliers, 0, 0, 32.0, m)
    inverse = inverse / inverse[2, 2]
    if mirrored:
        inverse = np.array([[-1.0, 0, query.width], [0, 1, 0], [0, 0, 1]]) @ inverse
    signs, contrasts, inside = see_grid(pyramid, bank.width, bank.height, inverse)
    seen = inside & grid.textured
    against = int((inside & grid.smooth & (contrasts >= QC)).sum())
    distances = np.bitwise_count(signs ^ grid.signs)[seen]
    matched = distances <= WINDOW_RADIUS
    n = int(matched.sum())
    textured = int(grid.textured.sum())
    if not n:
        return Alignment(0.0, inliers, 0, int(seen.sum()), 32.0, m)
    ratio = n / (int(seen.sum()) + against)
    share = overlap_share(query, bank, m)
    coverage = max(n / max(textured + against, FLOOR * len(grid.signs)), ratio * share)
    return Alignment(
        coverage, inliers, n, int(seen.sum()), float(distances[matched].mean()), m,
        n / max(textured + against, FLOOR * len(grid.signs)), share, ratio,
        (np.where(seen, np.bitwise_count(signs ^ grid.signs), 99).astype(np.uint8), grid.textured),
    )
