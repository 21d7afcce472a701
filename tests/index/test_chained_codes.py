"""Chained codes against a plain popcount: natural, crowded, growing, dropped."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from imageward_index import chained_codes as chained_module
from imageward_index.chained_codes import RADIUS_MAX, ChainedCodes
from imageward_index.segment import RADIUS_MAX as SEGMENT_RADIUS_MAX

SEED = 99
Codes = NDArray[np.uint8]
Triples = list[tuple[int, int, int]]


def near_codes(count: int, rng: np.random.Generator) -> Codes:
    """Make codes of which many lie within ten bits of one of five, and some are equal."""
    centres = rng.integers(0, 256, (5, 64 // 8), np.uint8)
    codes = centres[rng.integers(0, 5, count)]
    flips = rng.random((count, 64)) < rng.choice([0.0, 0.05, 0.1, 0.5], (count, 1))
    return codes ^ np.packbits(flips, axis=1)


def by_popcount(codes: Codes, queries: Codes, radii: NDArray[np.int64]) -> Triples:
    """Say by counting bits what must be found: query, row, distance, sorted."""
    distances = np.bitwise_count(queries[:, None] ^ codes[None]).sum(2, dtype=np.int64)
    rows = np.argwhere(distances <= radii[:, None])
    return sorted((int(q), int(r), int(distances[q, r])) for q, r in rows)


def found_in(chained: ChainedCodes, queries: Codes, radii: NDArray[np.int64]) -> Triples:
    """Search, and sort what is found."""
    near = chained.search(queries, radii)
    return sorted(zip(*(column.tolist() for column in near), strict=True))


@pytest.mark.parametrize("radius", range(RADIUS_MAX + 1))
@pytest.mark.parametrize("share", [0.0, 1e9])
def test_every_row_within_the_radius_is_found_once(
    radius: int, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Walking chains and reading all find what counting bits finds, at every radius."""
    monkeypatch.setattr(chained_module, "WALKED_SHARE", share)
    rng = np.random.default_rng(SEED)
    codes, chained = near_codes(1203, rng), ChainedCodes()
    chained.append(codes)
    queries = near_codes(30, rng) ^ 0
    queries[:15] = codes[:15]
    radii = np.full(30, radius)
    radii[::4] = max(0, radius - 2)
    expected = by_popcount(codes, queries, radii)
    assert expected
    assert expected == found_in(chained, queries, radii)


def test_the_radius_reaches_as_far_as_that_of_segments() -> None:
    """One index asks both, so neither may be narrower."""
    assert SEGMENT_RADIUS_MAX[64] == RADIUS_MAX


def test_crowded_codes_are_read_in_one_go() -> None:
    """Where chains hold nearly every code, all matches are still found, in room they make."""
    chained = ChainedCodes()
    codes = np.zeros((5000, 8), np.uint8)
    chained.append(codes)
    near = chained.search(codes[:2], np.array([0, 6]))
    assert np.bincount(near.queries).tolist() == [5000, 5000]
    assert len(np.unique(near.rows)) == 5000


_COUNTS = st.lists(st.integers(0, 700), min_size=1, max_size=6)


@settings(max_examples=40, deadline=None)
@given(counts=_COUNTS, seed=st.integers(0, 1000))
def test_codes_come_in_pieces_and_go(counts: list[int], seed: int) -> None:
    """After any additions, and after others were dropped, rows are those that were kept."""
    rng = np.random.default_rng(seed)
    chained, codes = ChainedCodes(), np.empty((0, 8), np.uint8)
    for count in counts:
        added = near_codes(count, rng)
        chained.append(added)
        kept = np.flatnonzero(rng.random(len(codes) + count) < 0.7)
        codes = np.concatenate([codes, added])[kept]
        chained.keep(kept)
        assert len(chained) == len(codes)
        assert chained.all().tolist() == codes.tolist()
        queries = near_codes(5, rng)
        queries[: len(codes[:3])] = codes[:3]
        radii = rng.integers(0, RADIUS_MAX + 1, 5)
        assert by_popcount(codes, queries, radii) == found_in(chained, queries, radii)


def test_nothing_is_found_among_nothing() -> None:
    """Without rows, and without queries, there is no match."""
    chained = ChainedCodes()
    assert found_in(chained, np.zeros((2, 8), np.uint8), np.array([0, 8])) == []
    chained.append(np.zeros((3, 8), np.uint8))
    assert found_in(chained, np.zeros((0, 8), np.uint8), np.empty(0, np.int64)) == []
