"""The traps of FAISS, each closed at the tail, and the dropping of dead rows."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import faiss
import numpy as np
import pytest
from numpy.typing import NDArray

from imageward_index import tail as tail_module
from imageward_index.block import Block
from imageward_index.errors import DuplicateId, InvalidBatch, InvalidHash
from imageward_index.index import Index
from imageward_index.matches import Matches
from imageward_index.tail import Tail

WIDTH_BITS = 256
ZERO = np.zeros((1, 32), dtype=np.uint8)
SEED = 20261


def codes_at(distances_bits: list[int]) -> NDArray[np.uint8]:
    """Make codes, uint8 of shape (n, 32), at these distances from the zero code."""
    bits = np.zeros((len(distances_bits), WIDTH_BITS), dtype=np.uint8)
    for row, distance_bits in enumerate(distances_bits):
        bits[row, :distance_bits] = 1
    return np.packbits(bits, axis=1)


def ids_of(*ids: int) -> NDArray[np.int64]:
    """Make ids as the tail takes them."""
    return np.array(ids, dtype=np.int64)


def search(tail: Tail, query: NDArray[np.uint8], radius_bits: int) -> Matches:
    """Search with one radius for all."""
    return Matches.join([tail.search(query, np.full(len(query), radius_bits, dtype=np.int64))])


@pytest.mark.parametrize("radius_bits", [0, 1, 31, 62, 63])
def test_the_radius_is_inclusive(radius_bits: int) -> None:
    """FAISS leaves out codes exactly at the radius; the tail finds them and no further ones."""
    codes = codes_at([radius_bits, radius_bits + 1])
    flat = faiss.IndexBinaryFlat(WIDTH_BITS)
    flat.add(codes)
    assert len(flat.range_search(ZERO, radius_bits)[2]) == 0
    tail = Tail(WIDTH_BITS)
    tail.add(Block(ids_of(7, 8), codes))
    found = search(tail, ZERO, radius_bits)
    assert ([7], [radius_bits]) == (found.ids.tolist(), found.distances.tolist())


def test_distances_and_ids_are_integers() -> None:
    """FAISS's float32 distances do not get out, and large ids lose no bit."""
    tail = Tail(WIDTH_BITS)
    ids = ids_of((1 << 62) + 1, (1 << 62) + 2, np.iinfo(np.int64).max)
    tail.add(Block(ids, codes_at([1, 2, 3])))
    found = search(tail, ZERO, 63)
    assert np.float32 == faiss_distances_dtype()
    assert {np.dtype(np.int64)} == {array.dtype for array in found}
    assert ids.tolist() == found.ids.tolist()


def faiss_distances_dtype() -> np.dtype[np.float32]:
    """Ask FAISS itself: the day it returns integers, the tail can be simpler."""
    flat = faiss.IndexBinaryFlat(WIDTH_BITS)
    flat.add(ZERO)
    dtype: np.dtype[np.float32] = flat.range_search(ZERO, 1)[1].dtype
    return dtype


def test_nothing_found_is_no_row_at_all() -> None:
    """FAISS pads a k-nearest answer with id -1; a search that finds nothing is empty."""
    tail = Tail(WIDTH_BITS)
    tail.add(Block(ids_of(1), codes_at([200])))
    assert [len(column) for column in search(tail, ZERO, 63)] == [0, 0, 0, 0]
    assert [len(column) for column in search(Tail(WIDTH_BITS), ZERO, 63)] == [0, 0, 0, 0]


def test_a_wrong_width_is_refused_without_assertions_too() -> None:
    """FAISS checks a code's width by an assertion, which `python -O` removes; we do not."""
    script = (
        "import numpy as np\n"
        "from imageward_index.errors import InvalidHash\n"
        "from imageward_index.index import Index\n"
        "for use in ('add', 'search'):\n"
        "    code = np.zeros((1, 31), dtype=np.uint8)\n"
        "    try:\n"
        "        Index().add([1], code) if use == 'add' else Index().search(code, 31)\n"
        "    except InvalidHash as error:\n"
        "        print(use, error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-O", "-c", script], capture_output=True, text=True, check=True
    )
    refusal = "codes are uint8 of shape (1, 31); send uint8 of shape (n, 32)"
    assert [f"add {refusal}", f"search {refusal}"] == done.stdout.splitlines()


def test_an_id_is_live_at_most_once() -> None:
    """FAISS accepts an id twice in silence; the tail refuses it, in a batch or after one."""
    tail = Tail(WIDTH_BITS)
    with pytest.raises(InvalidBatch):
        tail.add(Block(ids_of(1, 2, 1), codes_at([0, 1, 2])))
    tail.add(Block(ids_of(1), codes_at([0])))
    with pytest.raises(DuplicateId):
        tail.add(Block(ids_of(2, 1), codes_at([0, 1])))
    assert search(tail, ZERO, 63).ids.tolist() == [1]


def test_the_codes_of_an_id_are_told_apart_by_their_ordinals() -> None:
    """Codes that come side by side under one id are found, and withdrawn, as one id's."""
    tail = Tail(WIDTH_BITS)
    tail.add(Block(ids_of(7, 7, 7, 9), codes_at([3, 2, 1, 0])))
    found = search(tail, ZERO, 63)
    assert found.ids.tolist() == [9, 7, 7, 7]
    assert found.ordinals.tolist() == [0, 2, 1, 0]
    assert len(tail) == 4
    assert tail.withdraw(ids_of(7)) == 1
    assert (len(tail), search(tail, ZERO, 63).ids.tolist()) == (1, [9])


def test_many_ids_are_told_as_few_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether asked one by one or all at once, the tail knows which ids are live."""
    tail = Tail(WIDTH_BITS)
    tail.add(Block(np.arange(0, 40, 2), np.repeat(ZERO, 20, axis=0)))
    tail.withdraw(ids_of(4, 8))
    asked = np.arange(50)
    few = tail.contains(asked)
    monkeypatch.setattr(tail_module, "IDS_BY_NAME_MAX", 0)
    assert tail.contains(asked).tolist() == few.tolist()
    assert np.flatnonzero(few).tolist() == [i for i in range(0, 40, 2) if i not in (4, 8)]


def test_every_thread_searches_with_one_openmp_thread() -> None:
    """OpenMP counts threads by the thread that calls; each that searches has a pool of one."""
    tail = Tail(WIDTH_BITS)
    tail.add(Block(ids_of(1), ZERO))

    def search_and_count() -> int:
        search(tail, ZERO, 31)
        count: int = faiss.omp_get_max_threads()
        return count

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(search_and_count).result() == 1


def test_codes_of_another_layout_are_found() -> None:
    """A view with strides is added and searched by its values; another type is refused."""
    codes = np.random.default_rng(SEED).integers(0, 256, (8, 64), dtype=np.uint8)[:, ::2]
    index = Index()
    index.add(range(8), codes)
    assert list(range(8)) == index.search(codes, 0).ids.tolist()
    with pytest.raises(InvalidHash):
        index.search(codes.astype(np.int16), 0)


def test_dead_rows_are_dropped_when_they_are_half(monkeypatch: pytest.MonkeyPatch) -> None:
    """Withdrawn rows cost memory until they are many and half of all, and then none."""
    monkeypatch.setattr(tail_module, "DEAD_ROWS_MIN", 4)
    tail = Tail(WIDTH_BITS)
    tail.add(Block(np.arange(10), codes_at(list(range(10)))))
    assert tail.withdraw(ids_of(0, 2, 4)) == 3
    assert len(tail._codes) == 10
    assert tail.withdraw(ids_of(6, 8)) == 2
    assert len(tail._codes) == 5
    found = search(tail, ZERO, 63)
    assert (found.ids.tolist(), found.distances.tolist()) == ([1, 3, 5, 7, 9], [1, 3, 5, 7, 9])
    tail.add(Block(ids_of(0, 99), codes_at([0, 9])))
    assert search(tail, ZERO, 63).ids.tolist() == [0, 1, 3, 5, 7, 9, 99]


def test_what_lives_is_counted_while_dead_rows_are_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A search looks at the count before it waits: at 0 it would find nothing."""
    monkeypatch.setattr(tail_module, "DEAD_ROWS_MIN", 4)
    tail, counts = Tail(256), list[int]()
    tail.add(Block(np.arange(8), codes_at([*range(8)])))
    note_rows = tail._note_rows

    def counting(*rows: NDArray[np.int64]) -> None:
        counts.append(len(tail))
        note_rows(*rows)

    monkeypatch.setattr(tail, "_note_rows", counting)
    tail.withdraw(np.arange(5))

    assert counts == [3]
    assert tail.search(codes_at([0]), np.array([31])).ids.tolist() == [5, 6, 7]


def test_the_last_row_can_be_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tail whose every code was withdrawn is empty, and takes codes again."""
    monkeypatch.setattr(tail_module, "DEAD_ROWS_MIN", 1)
    tail = Tail(WIDTH_BITS)
    tail.add(Block(ids_of(1, 2), codes_at([0, 1])))
    assert tail.withdraw(ids_of(1, 2)) == 2
    assert (len(tail), len(tail._codes)) == (0, 0)
    assert search(tail, ZERO, 63).ids.tolist() == []
    tail.add(Block(ids_of(2), codes_at([5])))
    assert search(tail, ZERO, 63).distances.tolist() == [5]


def test_few_dead_rows_stay_where_they_are() -> None:
    """A handful of withdrawals does not copy the index, however small it is."""
    tail = Tail(WIDTH_BITS)
    tail.add(Block(ids_of(1, 2), codes_at([0, 1])))
    tail.withdraw(ids_of(1, 2))
    assert (len(tail), len(tail._codes)) == (0, 2)


def test_growing_over_the_reserve_keeps_what_was_there() -> None:
    """Codes added one by one past several doublings are all found, the withdrawn ones not."""
    tail = Tail(WIDTH_BITS)
    for start in range(0, 5000, 500):
        tail.add(Block(np.arange(start, start + 500), np.repeat(ZERO, 500, axis=0)))
        tail.withdraw(ids_of(start))
    expected = [number for number in range(5000) if number % 500]
    assert expected == search(tail, ZERO, 0).ids.tolist()


def test_a_search_waits_for_an_append(monkeypatch: pytest.MonkeyPatch) -> None:
    """Adding while FAISS searches is undefined behaviour, so an add waits for the search."""
    tail = Tail(WIDTH_BITS)
    tail.add(Block(ids_of(1), ZERO))
    searching, finish, order = threading.Event(), threading.Event(), list[str]()
    range_search = tail._codes._flat.range_search

    def slow_range_search(*args: object) -> object:
        searching.set()
        assert finish.wait(20)
        order.append("searched")
        return range_search(*args)

    monkeypatch.setattr(tail._codes._flat, "range_search", slow_range_search)

    def add() -> None:
        tail.add(Block(ids_of(2), ZERO))
        order.append("added")

    with ThreadPoolExecutor(2) as pool:
        found = pool.submit(search, tail, ZERO, 0)
        assert searching.wait(20)
        added = pool.submit(add)
        while not (tail._lock._writers_waiting or order):
            pass
        finish.set()
        added.result(20)
    assert found.result().ids.tolist() == [1]
    assert order == ["searched", "added"]


def test_an_add_that_finds_no_memory_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the arrays beside the codes cannot grow, no code is left without an id."""
    tail = Tail(WIDTH_BITS)
    with monkeypatch.context() as patch:
        patch.setattr(tail, "_reserve", refuse_memory)
        with pytest.raises(MemoryError):
            tail.add(Block(ids_of(1), ZERO))
    assert (len(tail), len(tail._codes)) == (0, 0)
    tail.add(Block(ids_of(1), ZERO))
    assert search(tail, ZERO, 0).ids.tolist() == [1]


def refuse_memory(_rows: int) -> None:
    """Fail as numpy does when there is no memory."""
    raise MemoryError
