"""The index against a plain popcount, under any order of changes and under threads."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from numpy.typing import ArrayLike, NDArray

from imageward_index import tail
from imageward_index.errors import DuplicateId, InvalidBatch, InvalidHash, InvalidRadius
from imageward_index.index import RADIUS_BITS_MAX, Index
from imageward_index.tail import Matches

Codes = NDArray[np.uint8]
SEED = 4711
PATIENCE_S = 60.0


def flipped(code: Codes, count: int, rng: np.random.Generator) -> Codes:
    """Flip `count` different bits of a code, uint8 of shape (32,)."""
    bits = np.unpackbits(code)
    bits[rng.choice(256, count, replace=False)] ^= 1
    return np.packbits(bits)


def popcount_search(
    entries: Mapping[int, Codes], queries: Codes, radii: ArrayLike
) -> list[tuple[int, int, int]]:
    """Say by counting bits what a search must find: (query, distance, id), sorted."""
    radius_of = np.broadcast_to(np.asarray(radii), len(queries))
    found = []
    for row, query in enumerate(queries):
        for entry_id, code in entries.items():
            distance_bits = int(np.bitwise_count(query ^ code).sum())
            if distance_bits <= radius_of[row]:
                found.append((row, distance_bits, entry_id))
    return sorted(found)


def as_triples(found: Matches) -> list[tuple[int, int, int]]:
    """Write matches as (query, distance, id), in the order they came."""
    return list(
        zip(found.queries.tolist(), found.distances.tolist(), found.ids.tolist(), strict=True)
    )


def make_entries(kind: str) -> dict[int, Codes]:
    """Make entries of a kind that a scan could stumble over."""
    rng = np.random.default_rng(SEED)
    base = rng.integers(0, 256, 32, dtype=np.uint8)
    match kind:
        case "random":
            codes = list(rng.integers(0, 256, (300, 32), dtype=np.uint8))
        case "near":
            codes = [flipped(base, count % 70, rng) for count in range(280)]
        case "tied":
            codes = [flipped(base, (0, 31, 32, 63, 64)[row % 5], rng) for row in range(200)]
        case "duplicated":
            codes = [flipped(base, row % 3, rng) for row in range(3)] * 50
        case "single":
            codes = [base]
        case _:
            codes = []
    ids = rng.permutation(len(codes)) * 3 + (1 << 61)
    return dict(zip(ids.tolist(), codes, strict=True))


def make_queries(entries: Mapping[int, Codes]) -> Codes:
    """Make 24 queries: the base of the entries, some of them, their neighbours, strangers."""
    rng = np.random.default_rng(SEED)
    base = rng.integers(0, 256, 32, dtype=np.uint8)
    known = [*entries.values(), base][:7]
    near = [flipped(code, 10, rng) for code in known]
    strangers = rng.integers(0, 256, (24, 32), dtype=np.uint8)
    return np.array([base, *known, *near, *strangers])[:24]


def index_of(entries: Mapping[int, Codes]) -> Index:
    """Make an index of these entries."""
    index = Index()
    codes = np.array(list(entries.values()), dtype=np.uint8).reshape(-1, 32)
    index.add(list(entries), codes)
    return index


@pytest.mark.parametrize("radii", [0, 1, 31, 62, 63, "mixed"])
@pytest.mark.parametrize("kind", ["random", "near", "tied", "duplicated", "single", "empty"])
def test_a_search_finds_what_counting_bits_finds(kind: str, radii: int | str) -> None:
    """Every code within its query's radius, inclusive, and no other, sorted, each once."""
    entries = make_entries(kind)
    queries = make_queries(entries)
    asked: ArrayLike = radii if isinstance(radii, int) else np.arange(24) * 7 % 64
    expected = popcount_search(entries, queries, asked)
    found = as_triples(index_of(entries).search(queries, asked))
    assert expected == found
    assert len(set(found)) == len(found)


def test_the_data_puts_codes_on_both_sides_of_every_radius() -> None:
    """The comparison above is worth something: it has hits, misses and ties at its radii."""
    near = make_entries("near")
    distances = {item[1] for item in popcount_search(near, make_queries(near)[:1], 256)}
    assert {0, 1, 2, 30, 31, 32, 62, 63, 64} <= distances
    tied = make_entries("tied")
    counts = [len(popcount_search(tied, make_queries(tied)[:1], r)) for r in (0, 31, 32, 63, 64)]
    assert counts == [40, 80, 120, 160, 200]


@given(st.integers(0, 256), st.integers(0, RADIUS_BITS_MAX), st.integers(0, 2**32 - 1))
def test_a_code_is_found_exactly_within_the_radius(
    distance_bits: int, radius_bits: int, seed: int
) -> None:
    """A code is found if and only if its distance is at most the radius."""
    rng = np.random.default_rng(seed)
    code = rng.integers(0, 256, 32, dtype=np.uint8)
    index = index_of({5: flipped(code, distance_bits, rng)})
    found = as_triples(index.search(code[np.newaxis], radius_bits))
    assert ([(0, distance_bits, 5)] if distance_bits <= radius_bits else []) == found


def test_one_radius_stands_for_all_queries() -> None:
    """A single radius, an array of it and one search a query agree."""
    entries = make_entries("near")
    queries, index = make_queries(entries), index_of(entries)
    together = as_triples(index.search(queries, 31))
    one_by_one = [
        (row, distance, entry_id)
        for row, query in enumerate(queries)
        for _, distance, entry_id in as_triples(index.search(query[np.newaxis], [31]))
    ]
    assert together == as_triples(index.search(queries, [31] * 24)) == one_by_one


def test_no_query_finds_nothing() -> None:
    """An empty batch of queries is answered with no matches, whatever its radius."""
    assert as_triples(index_of(make_entries("near")).search(np.empty((0, 32), np.uint8), 63)) == []


@pytest.mark.parametrize("radii", [-1, 64, [31] * 23 + [64], [-1] + [31] * 23])
def test_a_radius_out_of_range_is_refused(radii: ArrayLike) -> None:
    """One radius outside 0..63 refuses the whole search, on an empty index too."""
    queries = make_queries({})
    for index in (Index(), index_of(make_entries("single"))):
        with pytest.raises(InvalidRadius, match=r"use 0\.\.63"):
            index.search(queries, radii)


@pytest.mark.parametrize(
    "codes",
    [
        np.zeros((2, 31), np.uint8),
        np.zeros((2, 33), np.uint8),
        np.zeros((2, 0), np.uint8),
        np.zeros(32, np.uint8),
        np.zeros((2, 2, 32), np.uint8),
        np.zeros((2, 32), np.int8),
        np.zeros((2, 256), np.bool_),
    ],
    ids=lambda codes: f"{codes.dtype}{codes.shape}",
)
def test_codes_of_another_shape_are_refused(codes: Codes) -> None:
    """Codes that are not uint8 of shape (n, 32) are neither added nor searched for."""
    index = Index()
    with pytest.raises(InvalidHash) as refusal:
        index.add([1, 2], codes)
    assert refusal.value.metadata == {"bytes_expected": "32"}
    with pytest.raises(InvalidHash):
        index.search(codes, 31)
    assert len(index) == 0


@pytest.mark.parametrize(
    ("ids", "refusal"),
    [
        ([7, 8], InvalidBatch),
        ([7, 8, 9, 10], InvalidBatch),
        ([7, 8, 7], InvalidBatch),
        ([7, -1, 8], InvalidBatch),
        ([7, 8, 1], DuplicateId),
    ],
)
def test_a_refused_add_changes_nothing(ids: list[int], refusal: type[Exception]) -> None:
    """Too few, too many, repeated, negative or live ids refuse the batch as a whole."""
    entries = {1: make_queries({})[0]}
    index, codes = index_of(entries), make_queries({})[:3]
    with pytest.raises(refusal):
        index.add(ids, codes)
    assert len(index) == 1
    assert index.contains([7, 8, 9]).tolist() == [False, False, False]
    assert popcount_search(entries, codes, 63) == as_triples(index.search(codes, 63))
    index.add([7, 8, 9], codes)
    assert len(index) == 4


def test_withdrawing_says_how_many_were_there() -> None:
    """Unknown, repeated and withdrawn ids change nothing and are not counted."""
    index = index_of(make_entries("near"))
    known = list(make_entries("near"))
    assert index.withdraw([]) == 0
    assert index.withdraw([-1, 0, 1]) == 0
    assert index.withdraw([known[0], known[1], known[0], 5]) == 2
    assert index.withdraw(known[:2]) == 0
    assert len(known) - 2 == len(index)
    assert index.contains(known[:3]).tolist() == [False, False, True]


def test_an_index_of_64_bits_keeps_the_same_promises() -> None:
    """The width is the index's own: 64-bit codes are searched as exactly."""
    rng = np.random.default_rng(SEED)
    codes = rng.integers(0, 4, (50, 8), dtype=np.uint8)
    index = Index(64)
    index.add(range(50), codes)
    expected = popcount_search(dict(enumerate(codes)), codes, 6)
    assert expected == as_triples(index.search(codes, 6))
    with pytest.raises(InvalidHash):
        index.search(make_queries({}), 6)


PALETTE = [flipped(np.zeros(32, np.uint8), n, np.random.default_rng(n)) for n in range(0, 66, 5)]
IDS = st.integers(0, 30)


class IndexMachine(RuleBasedStateMachine):
    """The index beside a dictionary, through any sequence of changes."""

    @initialize()
    def begin(self) -> None:
        """Start empty, and drop dead rows at every second chance."""
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(tail, "DEAD_ROWS_MIN", 3)
        self.index = Index()
        self.model: dict[int, Codes] = {}

    def teardown(self) -> None:
        """Give the bound back."""
        if hasattr(self, "patch"):
            self.patch.undo()

    @rule(batch=st.dictionaries(IDS, st.sampled_from(PALETTE), max_size=6))
    def add(self, batch: dict[int, Codes]) -> None:
        """Add a batch: banked as a whole, or refused as a whole where an id is live."""
        codes = np.array(list(batch.values()), dtype=np.uint8).reshape(-1, 32)
        if batch.keys() & self.model.keys():
            with pytest.raises(DuplicateId):
                self.index.add(list(batch), codes)
        else:
            self.index.add(list(batch), codes)
            self.model.update(batch)

    @rule(ids=st.lists(IDS, max_size=12))
    def withdraw(self, ids: list[int]) -> None:
        """Withdraw known and unknown ids."""
        live = set(ids) & self.model.keys()
        assert len(live) == self.index.withdraw(ids)
        for entry_id in live:
            del self.model[entry_id]

    @rule(radii=st.lists(st.integers(0, 63), min_size=1, max_size=4))
    def search(self, radii: list[int]) -> None:
        """Search with several radii at once."""
        queries = np.array(PALETTE[: len(radii)])
        expected = popcount_search(self.model, queries, radii)
        assert expected == as_triples(self.index.search(queries, radii))

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        """The two agree on every id and on their number."""
        if hasattr(self, "model"):
            assert len(self.model) == len(self.index)
            expected = [entry_id in self.model for entry_id in range(31)]
            assert expected == self.index.contains(range(31)).tolist()


TestIndexMachine = IndexMachine.TestCase
TestIndexMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_searches_see_every_finished_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search finds what was added before it began, and nothing withdrawn before that."""
    monkeypatch.setattr(tail, "DEAD_ROWS_MIN", 50)
    index, query = Index(), np.zeros((1, 32), np.uint8)
    start, done = threading.Barrier(4), threading.Event()
    # Append-only, and written on the safe side of each change.
    added, withdrawing, withdrawn = list[int](), list[int](), list[int]()

    def change(first_id: int) -> None:
        start.wait(PATIENCE_S)
        for batch in range(60):
            ids = list(range(first_id + batch * 20, first_id + batch * 20 + 20))
            index.add(ids, np.array([PALETTE[i % 4] for i in ids]))
            added.extend(ids)
            withdrawing.extend(ids[::2])
            index.withdraw(ids[::2])
            withdrawn.extend(ids[::2])

    def watch() -> int:
        start.wait(PATIENCE_S)
        searches = 0
        while not done.is_set():
            expected, gone = set(added), set(withdrawn)
            found = as_triples(index.search(query, 63))
            present = {entry_id for _, _, entry_id in found}
            assert expected - set(withdrawing) <= present
            assert not gone & present
            assert all(one < other for one, other in pairwise(found))
            searches += 1
        return searches

    with ThreadPoolExecutor(4) as pool:
        changes = [pool.submit(change, first_id) for first_id in (0, 1_000_000)]
        watchers = [pool.submit(watch) for _ in range(2)]
        try:
            for future in changes:
                future.result(PATIENCE_S)
        finally:
            done.set()
        assert all(future.result(PATIENCE_S) for future in watchers)
    assert len(index) == 1200
