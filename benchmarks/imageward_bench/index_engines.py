"""The engines that the index benchmark compares, behind one interface, one thread each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import faiss
import numpy as np
from numpy.typing import NDArray
from usearch.compiled import MetricKind
from usearch.index import search as usearch_search

from imageward_bench.machine import resident_bytes
from imageward_index.block import Block
from imageward_index.matches import Matches
from imageward_index.segment import Segment
from imageward_index.segment_writer import Stamp, write_segment
from imageward_index.warm_up import warm_up

Codes = NDArray[np.uint8]
Answers = list[NDArray[np.int64]]

LISTS = 1024
"""Lists of the inverted file."""

CODES_A_LIST = 64
"""Codes that the lists are trained on, for each."""

LINKS = 16
"""Links of a node of the graph."""

NEIGHBOURS = 10
"""What engines without a range search are asked for, and the most that recall counts."""


class Engine(Protocol):
    """One way to find near codes.

    Attributes:
        name: as the tables show it, without its setting.
        codes_max: more take too long or too much memory to build for a comparison.
        settings: what trades quality for throughput, each measured; 0 where nothing does.
    """

    name: str
    codes_max: int
    settings: tuple[int, ...]

    def build(self, codes: Codes, folder: Path) -> float:
        """Take the codes in; return the bytes that a code takes."""
        ...

    def search(self, queries: Codes, radius: int, setting: int) -> object:
        """Search, and nothing else: this is what is timed."""
        ...

    def answers(self, queries: Codes, radius: int, setting: int) -> Answers:
        """Search, and return for each query the distances of what is within the radius."""
        ...


class Ours:
    """A sealed segment, mapped."""

    name = "imageward"
    codes_max = 10**9
    settings: tuple[int, ...] = (0,)

    def __init__(self) -> None:
        warm_up()
        self._segment: Segment

    def build(self, codes: Codes, folder: Path) -> float:
        """Seal and map a segment."""
        path = folder / "segment"
        write_segment(path, [Block(np.arange(len(codes)), codes)], stamp=Stamp("benchmark", 0, 0))
        self._segment = Segment.open(path, "benchmark")
        return path.stat().st_size / len(codes)

    def search(self, queries: Codes, radius: int, setting: int) -> Matches:
        """Search the segment."""
        del setting
        return self._segment.search(queries, np.full(len(queries), radius))

    def answers(self, queries: Codes, radius: int, setting: int) -> Answers:
        """Search the segment."""
        found = self.search(queries, radius, setting)
        return _by_query(found.queries, found.distances, len(queries))


class FaissFlat:
    """FAISS's scan of every code: exact, and the judge of the others."""

    name = "FAISS flat"
    codes_max = 10**9
    settings: tuple[int, ...] = (0,)

    def __init__(self) -> None:
        # FAISS has no types.
        self._index: Any = None

    def build(self, codes: Codes, folder: Path) -> float:
        """Build in memory."""
        del folder
        before = resident_bytes()
        self._index = self._make(codes)
        self._index.add(codes)
        return (resident_bytes() - before) / len(codes)

    def search(self, queries: Codes, radius: int, setting: int) -> tuple[NDArray[Any], ...]:
        """Search by radius, which FAISS excludes."""
        self._set(setting)
        found: tuple[NDArray[Any], ...] = self._index.range_search(queries, radius + 1)
        return found

    def answers(self, queries: Codes, radius: int, setting: int) -> Answers:
        """Search by radius."""
        limits, distances, _ = self.search(queries, radius, setting)
        rows = np.repeat(np.arange(len(queries)), np.diff(limits).astype(np.int64))
        return _by_query(rows, distances.astype(np.int64), len(queries))

    def _make(self, codes: Codes) -> Any:  # noqa: ANN401  FAISS has no types
        return faiss.IndexBinaryFlat(codes.shape[1] * 8)

    def _set(self, setting: int) -> None:
        """Take a setting; here there is none."""


class FaissMultiHash(FaissFlat):
    """FAISS's multi-index hashing: slices of 16 bits, one flip."""

    name = "FAISS multi-hash"
    codes_max = 2 * 10**6

    def _make(self, codes: Codes) -> Any:  # noqa: ANN401  FAISS has no types
        bits = codes.shape[1] * 8
        index = faiss.IndexBinaryMultiHash(bits, bits // 16, 16)
        index.nflip = 1
        return index


class FaissInverted(FaissFlat):
    """FAISS's inverted file; the setting is how many of its lists are read."""

    name = "FAISS IVF"
    codes_max = 10**7
    settings: tuple[int, ...] = (1, 16, 128)

    def _make(self, codes: Codes) -> Any:  # noqa: ANN401  FAISS has no types
        bits, lists = codes.shape[1] * 8, min(LISTS, max(1, len(codes) // CODES_A_LIST))
        self._quantizer = faiss.IndexBinaryFlat(bits)
        index = faiss.IndexBinaryIVF(self._quantizer, bits, lists)
        index.train(codes[: CODES_A_LIST * lists])
        return index

    def _set(self, setting: int) -> None:
        self._index.nprobe = setting


class FaissGraph(FaissFlat):
    """FAISS's HNSW graph, nearest neighbours only; the setting is the search's breadth."""

    name = "FAISS HNSW"
    codes_max = 10**6
    settings: tuple[int, ...] = (16, 64, 256)

    def search(self, queries: Codes, radius: int, setting: int) -> tuple[NDArray[Any], ...]:
        """Search by number."""
        del radius
        self._index.hnsw.efSearch = setting
        found: tuple[NDArray[Any], ...] = self._index.search(queries, NEIGHBOURS)
        return found

    def answers(self, queries: Codes, radius: int, setting: int) -> Answers:
        """Keep what is within the radius; absent neighbours are far away."""
        distances, _ = self.search(queries, radius, setting)
        return [row[row <= radius].astype(np.int64) for row in distances]

    def _make(self, codes: Codes) -> Any:  # noqa: ANN401  FAISS has no types
        return faiss.IndexBinaryHNSW(codes.shape[1] * 8, LINKS)


class UsearchExact:
    """usearch's exhaustive search over an array."""

    name = "usearch exact"
    codes_max = 2 * 10**6
    settings: tuple[int, ...] = (0,)

    def __init__(self) -> None:
        self._codes: Codes

    def build(self, codes: Codes, folder: Path) -> float:
        """Keep the array."""
        del folder
        self._codes = codes
        return float(codes.shape[1])

    def search(self, queries: Codes, radius: int, setting: int) -> NDArray[Any]:
        """Search by number."""
        del radius, setting
        count = min(NEIGHBOURS, len(self._codes))
        found = usearch_search(
            self._codes, queries, count, MetricKind.Hamming, exact=True, threads=1
        )
        return np.atleast_2d(np.asarray(found.distances))

    def answers(self, queries: Codes, radius: int, setting: int) -> Answers:
        """Keep what is within the radius."""
        distances = self.search(queries, radius, setting)
        return [row[row <= radius].astype(np.int64) for row in distances]


def _by_query(rows: NDArray[np.int64], distances: NDArray[np.int64], queries: int) -> Answers:
    """Cut distances that are in the order of queries."""
    return np.split(distances, np.searchsorted(rows, np.arange(1, queries)))


def engines() -> Iterator[Engine]:
    """Yield every engine, ours first; each may be dropped before the next is made."""
    faiss.omp_set_num_threads(1)
    makers: tuple[Callable[[], Engine], ...] = (
        Ours,
        FaissFlat,
        FaissMultiHash,
        FaissInverted,
        FaissGraph,
        UsearchExact,
    )
    for make in makers:
        yield make()
