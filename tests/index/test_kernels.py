"""Exact search in sealed segments against a plain popcount and against FAISS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from imageward_index import segment as segment_module
from imageward_index.block import Block
from imageward_index.build_kernels import (
    fill_rows,
    fill_table,
    fill_word_table,
    pack_pair,
    pack_slice,
    sort_digit,
)
from imageward_index.id_column import fill_ids, find_place
from imageward_index.intrinsics import (
    LANES,
    WORD_LANES,
    entrance,
    lowest_bit,
    near_lanes,
    near_words,
    popcount,
)
from imageward_index.kernels import _lower_bound, search
from imageward_index.matches import Matches
from imageward_index.segment import RADIUS_MAX, Segment
from imageward_index.segment_writer import Stamp, write_segment
from imageward_index.slices import SCAN, Plan, probe_radii
from imageward_index.warm_up import warm_up
from imageward_index.word_kernels import search_words

Codes = NDArray[np.uint8]
Ids = NDArray[np.int64]
Triples = list[tuple[int, int, int]]

SEED = 20240607
STAMP = Stamp("test", 1, 1)
NEVER = 1 << 60
PROBE_RADII, WORK_MAX = 7, 10
COMPILED: list[Any] = [
    search,
    search_words,
    fill_ids,
    find_place,
    pack_pair,
    pack_slice,
    sort_digit,
    fill_table,
    fill_word_table,
    fill_rows,
]

PLANS = [
    Plan(256, 16, 16),
    Plan(256, 14, 16),
    Plan(256, 10, 11),
    Plan(256, 4, 8),
    Plan(256, 0, 1),
    Plan(64, 4, 16),
    Plan(64, 3, 21),
    Plan(64, 5, 9),
    Plan(64, 2, 5),
    Plan(64, 1, 8),
    Plan(64, 0, 1),
]


def flip(code: Codes, count: int, rng: np.random.Generator) -> Codes:
    """Flip `count` different bits of a code, uint8 (bytes,)."""
    bits = np.unpackbits(code)
    bits[rng.choice(len(bits), count, replace=False)] ^= 1
    return np.packbits(bits)


def uniform(count: int, width_bits: int, rng: np.random.Generator) -> Codes:
    """Make codes whose bits are independent."""
    return rng.integers(0, 256, (count, width_bits // 8), np.uint8)


def clustered(count: int, width_bits: int, rng: np.random.Generator) -> Codes:
    """Make codes that lie within a few bits of one of three, many of them equal."""
    centres = uniform(3, width_bits, rng)
    picked = centres[rng.integers(0, 3, count)]
    return np.array([flip(code, int(rng.integers(0, 4)), rng) for code in picked])


def near(codes: Codes, count: int, radius: int, rng: np.random.Generator) -> Codes:
    """Make queries around the radius from codes."""
    picked = codes[rng.integers(0, len(codes), count)]
    most = min(radius + 2, codes.shape[1] * 8)
    return np.array([flip(code, int(rng.integers(0, most + 1)), rng) for code in picked])


def by_popcount(codes: Codes, ids: Ids, queries: Codes, radii: Ids) -> Triples:
    """Say by counting bits what a search must find: (query, distance, id), sorted."""
    distances = np.bitwise_count(queries[:, None] ^ codes[None]).sum(2, dtype=np.int64)
    rows = np.argwhere(distances <= radii[:, None])
    return sorted((int(q), int(distances[q, r]), int(ids[r])) for q, r in rows)


def by_faiss(codes: Codes, ids: Ids, queries: Codes, radius: int) -> Triples:
    """Say by FAISS's flat index what a search must find; its radius is exclusive."""
    flat = faiss.IndexBinaryFlat(codes.shape[1] * 8)
    flat.add(codes)
    limits, distances, rows = flat.range_search(queries, radius + 1)
    query_rows = np.repeat(np.arange(len(queries)), np.diff(limits.astype(np.int64)))
    found = zip(query_rows, distances.astype(int), ids[rows], strict=True)
    return sorted((int(q), int(d), int(i)) for q, d, i in found)


def triples(found: Matches) -> Triples:
    """Write matches as (query, distance, id), in the order they came."""
    columns = (found.queries, found.distances, found.ids)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def seal(folder: Path, codes: Codes, ids: Ids, plan: Plan | None = None) -> Segment:
    """Seal codes and map them."""
    write_segment(folder / "segment", [Block(ids, codes)], stamp=STAMP, plan=plan)
    return Segment.open(folder / "segment", "test")


def probe_always(segment: Segment) -> None:
    """Take the scan away, so that a small segment is probed like a large one."""
    plan, fixed = segment.plan, segment._fixed
    radii = np.array([probe_radii(plan, r) for r in range(len(fixed[PROBE_RADII]))], np.int64)
    radii[radii.max(1) > plan.slice_bits] = SCAN
    segment.__dict__["_fixed"] = (
        *fixed[:PROBE_RADII],
        radii,
        *fixed[PROBE_RADII + 1 : WORK_MAX],
        NEVER,
    )


@pytest.mark.parametrize("plan", PLANS, ids=str)
@pytest.mark.parametrize("make", [uniform, clustered])
def test_search_is_exact(plan: Plan, make: object, tmp_path: Path) -> None:
    """Every code within each query's own radius is found, none beyond, each once, in order."""
    rng = np.random.default_rng(SEED)
    assert callable(make)
    codes = make(1500, plan.width_bits, rng)
    ids = rng.permutation(6000)[:1500].astype(np.int64)
    segment = seal(tmp_path, codes, ids, plan)
    radius_max = RADIUS_MAX[plan.width_bits]
    for probed in (False, True):
        if probed and plan.slices:
            probe_always(segment)
        for radius in (0, radius_max // 4, radius_max // 2, radius_max):
            queries = near(codes, 12, radius, rng)
            radii = np.full(12, radius)
            radii[::3] = max(0, radius - 1)
            expected = by_popcount(codes, ids, queries, radii)
            assert expected == triples(segment.search(queries, radii))


@pytest.mark.parametrize("count", [0, 1, 2, 31, 32, 33])
@pytest.mark.parametrize("plan", [Plan(256, 4, 8), Plan(64, 4, 16), Plan(64, 0, 1)], ids=str)
def test_few_codes_are_found(count: int, plan: Plan, tmp_path: Path) -> None:
    """An empty segment finds nothing; one code, or a few beside a line's end, are found."""
    rng = np.random.default_rng(SEED)
    codes = uniform(count, plan.width_bits, rng)
    segment = seal(tmp_path, codes, np.arange(count), plan)
    queries = np.concatenate([codes, uniform(3, plan.width_bits, rng)])
    radii = np.zeros(len(queries), np.int64)
    expected = by_popcount(codes, np.arange(count), queries, radii)
    assert count == len(expected)
    assert expected == triples(segment.search(queries, radii))


def test_no_queries_find_nothing(tmp_path: Path) -> None:
    """A search without queries has no matches."""
    codes = uniform(50, 256, np.random.default_rng(SEED))
    segment = seal(tmp_path, codes, np.arange(50))
    assert triples(segment.search(codes[:0], np.empty(0, np.int64))) == []


def test_equal_codes_are_all_found_once(tmp_path: Path) -> None:
    """A thousand entries with one and the same code are a thousand matches, sorted by id."""
    rng = np.random.default_rng(SEED)
    codes = np.repeat(uniform(1, 256, rng), 1000, axis=0)
    segment = seal(tmp_path, codes, rng.permutation(1000).astype(np.int64), Plan(256, 16, 16))
    probe_always(segment)
    query = flip(codes[0], 31, rng)[None]
    expected = [(0, 31, entry) for entry in range(1000)]
    assert expected == triples(segment.search(query, np.array([31])))
    assert triples(segment.search(query, np.array([30]))) == []


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_codes_are_searched_exactly(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Codes of few different bytes, which crowd buckets and tie, are searched exactly."""
    plan = data.draw(st.sampled_from([p for p in PLANS if p.slices and p.slice_bits <= 11]))
    draw_byte = st.sampled_from([0, 1, 3, 128, 255])
    row = st.lists(draw_byte, min_size=plan.width_bits // 8, max_size=plan.width_bits // 8)
    codes = np.array(data.draw(st.lists(row, min_size=1, max_size=40)), np.uint8)
    queries = np.array(data.draw(st.lists(row, min_size=1, max_size=4)), np.uint8)
    radii = np.full(len(queries), data.draw(st.integers(0, RADIUS_MAX[plan.width_bits])))
    segment = seal(tmp_path_factory.mktemp("any"), codes, np.arange(len(codes)), plan)
    probe_always(segment)
    expected = by_popcount(codes, np.arange(len(codes)), queries, radii)
    assert expected == triples(segment.search(queries, radii))


def hex_codes(path: Path) -> Codes:
    """Read hashes, one of 64 hex digits a line."""
    lines = path.read_text().split()
    return np.array([np.frombuffer(bytes.fromhex(line), np.uint8) for line in lines])


@pytest.mark.parametrize("radius", [0, 31, 47, 63])
def test_natural_hashes_agree_with_faiss(shared: Path, tmp_path: Path, radius: int) -> None:
    """Needles are found in the haystack exactly as FAISS's flat index finds them."""
    codes = hex_codes(shared / "hashes" / "haystack.txt")
    queries = hex_codes(shared / "hashes" / "needles.txt")
    ids = np.arange(len(codes))
    segment = seal(tmp_path, codes, ids, Plan(256, 16, 16))
    probe_always(segment)
    expected = by_faiss(codes, ids, queries, radius)
    assert radius == 0 or expected
    assert expected == triples(segment.search(queries, np.full(len(queries), radius)))


@pytest.mark.parametrize("radius", [0, 15, 31])
def test_clustered_hashes_agree_with_faiss(shared: Path, tmp_path: Path, radius: int) -> None:
    """Video frames, eightfold with small flips, are found exactly as FAISS finds them."""
    rng = np.random.default_rng(SEED)
    codes = np.repeat(hex_codes(shared / "hashes" / "clustered.txt"), 8, axis=0)
    codes ^= np.packbits(rng.random((len(codes), 256)) < 2 / 256, axis=1)
    queries = near(codes, 24, radius, rng)
    ids = np.arange(len(codes))
    segment = seal(tmp_path, codes, ids)
    assert segment.plan.slices
    expected = by_faiss(codes, ids, queries, radius)
    assert expected
    assert expected == triples(segment.search(queries, np.full(len(queries), radius)))


def test_crowded_buckets_fall_back_to_one_scan(tmp_path: Path) -> None:
    """A query whose buckets hold nearly every code is scanned, and still exact; others are not."""
    rng = np.random.default_rng(SEED)
    codes = uniform(20_000, 256, rng)
    codes[:, :28] = codes[0, :28]
    ids = np.arange(len(codes))
    segment = seal(tmp_path, codes, ids, Plan(256, 16, 16))
    queries = np.concatenate([codes[:2], uniform(1, 256, rng), codes[5:7]])
    radii = np.full(len(queries), 31)
    expected = by_popcount(codes, ids, queries, radii)
    assert len(expected) > len(codes)
    found, scanned = segment.search_counting(queries, radii)
    assert expected == triples(found)
    assert scanned == 4


def test_crowded_buckets_without_candidates_are_scanned(tmp_path: Path) -> None:
    """Comparing sketches counts as work, though none of them is near."""
    rng = np.random.default_rng(SEED)
    codes = rng.integers(0, 256, (20_000, 16), np.uint16)
    codes[:, ::2] = 7
    query = np.full((1, 16), 0xFFFF, np.uint16)
    query[:, ::2] = 7
    segment = seal(tmp_path, codes.view(np.uint8), np.arange(len(codes)), Plan(256, 16, 16))
    found, scanned = segment.search_counting(query.view(np.uint8), np.array([31]))
    assert triples(found) == []
    assert scanned == 1


def test_many_candidates_are_scanned(tmp_path: Path) -> None:
    """Looking at candidates counts as work, though their buckets are small."""
    rng = np.random.default_rng(SEED)
    codes = uniform(20_000, 256, rng)
    codes[:1000] = codes[0]
    segment = seal(tmp_path, codes, np.arange(len(codes)), Plan(256, 16, 16))
    found, scanned = segment.search_counting(codes[:1], np.array([31]))
    assert [(0, 0, entry) for entry in range(1000)] == triples(found)
    assert scanned == 1


def test_dead_rows_are_not_found(tmp_path: Path) -> None:
    """A row that is buried is found neither by probing nor by a scan; its equals still are."""
    rng = np.random.default_rng(SEED)
    codes = np.repeat(uniform(100, 256, rng), 3, axis=0)
    ids = np.arange(300)
    segment = seal(tmp_path, codes, ids, Plan(256, 16, 16))
    alive = segment.all_alive()
    assert segment.bury(alive, ids[::3]) == 100
    expected = by_popcount(codes[ids % 3 > 0], ids[ids % 3 > 0], codes[::3], np.full(100, 31))
    assert expected == triples(segment.search(codes[::3], np.full(100, 31), alive))
    probe_always(segment)
    assert expected == triples(segment.search(codes[::3], np.full(100, 31), alive))


@pytest.mark.parametrize("plan", [Plan(256, 16, 16), Plan(256, 0, 1)], ids=str)
def test_first_only_stops_at_one_match(plan: Plan, tmp_path: Path) -> None:
    """With `first_only` a query has one match if it has any, and that one is right."""
    rng = np.random.default_rng(SEED)
    codes = clustered(900, 256, rng)
    segment = seal(tmp_path, codes, np.arange(900), plan)
    if plan.slices:
        probe_always(segment)
    queries = np.concatenate([near(codes, 20, 20, rng), uniform(20, 256, rng)])
    radii = np.full(40, 31)
    everything = triples(segment.search(queries, radii))
    first = triples(segment.search(queries, radii, first_only=True))
    assert sorted({query for query, _, _ in everything}) == [query for query, _, _ in first]
    assert set(first) <= set(everything)


def test_many_matches_make_their_own_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More matches than there was room for are all returned."""
    monkeypatch.setattr(segment_module, "ROOM_FIRST", 1)
    rng = np.random.default_rng(SEED)
    codes = np.repeat(uniform(3, 64, rng), 200, axis=0)
    segment = seal(tmp_path, codes, np.arange(600), Plan(64, 4, 16))
    expected = by_popcount(codes, np.arange(600), codes[::200], np.full(3, 8))
    assert expected == triples(segment.search(codes[::200], np.full(3, 8)))
    probe_always(segment)
    assert expected == triples(segment.search(codes[::200], np.full(3, 8)))


@entrance
def _near_both(
    sketches: NDArray[np.uint16], words: NDArray[np.uint64], value: int, most: int
) -> tuple[int, int]:
    near_sketches = near_lanes(sketches, 1, np.uint16(value), np.uint16(most))
    return near_sketches, near_words(words, 1, np.uint64(value), np.uint64(most))


@pytest.mark.parametrize("most", [0, 1, 5, 16])
def test_lanes_agree_with_a_loop(most: int) -> None:
    """The vector comparisons set the bits that counting lane by lane sets."""
    rng = np.random.default_rng(SEED)
    sketches = rng.integers(0, 1 << 16, LANES + 1, np.uint16)
    words = rng.integers(0, 1 << 20, WORD_LANES + 1, np.uint64)
    value = int(sketches[7])
    expected = [
        sum(1 << i for i, v in enumerate(lane[1:].tolist()) if (v ^ value).bit_count() <= most)
        for lane in (sketches, words)
    ]
    assert expected == list(_near_both(sketches, words, value, most))


@entrance
def _bits_of(word: int) -> tuple[int, int]:
    return popcount(word), lowest_bit(word)


@pytest.mark.parametrize("word", [1, 1 << 63, 0xF0, (1 << 64) - 1])
def test_bits_are_counted(word: int) -> None:
    """The bit count and the lowest bit of a word are Python's own."""
    expected = (word.bit_count(), (word & -word).bit_length() - 1)
    assert expected == _bits_of(np.uint64(word))


@given(st.lists(st.integers(0, 255), max_size=200), st.integers(0, 255))
@settings(deadline=None)
def test_lower_bound_agrees_with_numpy(values: list[int], wanted: int) -> None:
    """The galloping search returns what `searchsorted` returns, wherever its guess falls."""
    sketches = np.array(sorted(values), np.uint16)
    expected = int(np.searchsorted(sketches, wanted))
    assert expected == _lower_bound(sketches, 0, len(sketches), wanted, 8)


def test_a_sorting_pass_is_stable() -> None:
    """A pass sorts by its eight bits and keeps the order of equals."""
    rng = np.random.default_rng(SEED)
    source = rng.integers(0, 1 << 63, 5000, np.uint64)
    target = np.empty_like(source)
    sort_digit(source, target, 8, np.empty(256, np.int64))
    digits = (source >> np.uint64(8)) & np.uint64(255)
    assert source[np.argsort(digits, kind="stable")].tolist() == target.tolist()


def test_warm_up_leaves_nothing_to_compile(tmp_path: Path) -> None:
    """After `warm_up` neither width makes numba compile what it has for another type."""
    warm_up()
    compiled = [len(made.signatures) for made in COMPILED]
    rng = np.random.default_rng(SEED)
    for width_bits in (64, 256):
        codes = uniform(9, width_bits, rng)
        segment = seal(tmp_path, codes, np.arange(9) // 2, Plan(width_bits, 4, 8))
        read_only = np.frombuffer(codes.tobytes(), np.uint8).reshape(codes.shape)
        segment.search(read_only, np.zeros(9, np.int32))
        segment.search(codes, np.full(9, 3), segment.all_alive(), first_only=True)
        segment.bury(segment.all_alive(), segment.ids_of(np.arange(9)))
    assert compiled == [len(made.signatures) for made in COMPILED]
