"""Measures one engine, and prints a line of JSON.

Run as `python harness.py MODULE DATA FOLDER SECONDS`; queries are timed so long, singly and
in batches.

The module beside this file has a class `Engine` as described by the protocol below.
Each engine gets the same codes, queries and additions, and is timed by the same code.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.uint8]

WARM_CALLS = 3
SINGLE_S_MAX = 10.0
BATCH = 128
ADDED_S_MAX = 120.0


class Engine(Protocol):
    """One way to find near codes.

    Attributes:
        many: how `search_many` asks for many at once, as the table shows it.
        roots: processes that it started and that are no children of this one.
    """

    many: str
    roots: tuple[int, ...]

    def __init__(self, folder: Path, radius: int) -> None:
        """Start it, with its files in a folder."""
        ...

    def build(self, codes: Codes) -> None:
        """Take codes in, uint8 (n, 32), under the ids 0..n-1."""
        ...

    def search(self, code: Codes) -> list[int]:
        """Return the ids of the codes within the radius of one, uint8 (32,)."""
        ...

    def search_many(self, codes: Codes) -> None:
        """Search for many codes, uint8 (m, 32), the fastest way that it documents."""
        ...

    def add(self, number: int, code: Codes) -> None:
        """Take one more code in, under its id."""
        ...

    def close(self) -> None:
        """End what it started."""
        ...


def measure(
    make: Callable[[Path, int], Engine], data: Path, folder: Path, timed_s: float
) -> dict[str, object]:
    """Build an engine, search it, add to it; return what came out."""
    with np.load(data) as arrays:
        codes, queries, added = arrays["codes"], arrays["queries"], arrays["added"]
        radius = int(arrays["radius"])
    count, before = len(codes), _memory_bytes(())
    engine = make(folder, radius)
    try:
        begun = time.perf_counter()
        engine.build(codes)
        build_s = time.perf_counter() - begun
        data_bytes = codes.nbytes
        del codes
        found = [sorted(engine.search(query)) for query in queries]
        times = _single_s(engine, queries, timed_s)
        many_per_s = _many_per_s(engine, queries, timed_s)
        return {
            "build_s": build_s,
            "memory_bytes": _memory_bytes(engine.roots) - before + data_bytes,
            "found": found,
            "p50_ms": float(np.percentile(times, 50)) * 1e3,
            "p99_ms": float(np.percentile(times, 99)) * 1e3,
            "calls": len(times),
            "lookups_per_s": len(times) / sum(times),
            "many": engine.many,
            "many_per_s": many_per_s,
            "added_s": [_added_s(engine, count + row, code) for row, code in enumerate(added)],
        }
    finally:
        engine.close()


def _single_s(engine: Engine, queries: Codes, timed_s: float) -> list[float]:
    """Time single calls, one after another."""
    for query in queries[:WARM_CALLS]:
        engine.search(query)
    times: list[float] = []
    begun = time.perf_counter()
    while time.perf_counter() - begun < timed_s or len(times) < len(queries):
        start = time.perf_counter()
        engine.search(queries[len(times) % len(queries)])
        times.append(time.perf_counter() - start)
        if time.perf_counter() - begun > SINGLE_S_MAX:
            break
    return times


def _many_per_s(engine: Engine, queries: Codes, timed_s: float) -> float:
    """Time batches for a while."""
    batch = np.resize(queries, (BATCH, queries.shape[1]))
    batches, begun = 0, time.perf_counter()
    while not batches or time.perf_counter() - begun < timed_s:
        engine.search_many(batch)
        batches += 1
    return batches * BATCH / (time.perf_counter() - begun)


def _added_s(engine: Engine, number: int, code: Codes) -> float | None:
    """Add a code and search for it until it is found; None where it never is."""
    begun = time.perf_counter()
    engine.add(number, code)
    while time.perf_counter() - begun < ADDED_S_MAX:
        if number in engine.search(code):
            return time.perf_counter() - begun
    return None


def _memory_bytes(roots: tuple[int, ...]) -> int:
    """Return what this process, others and all they started hold; what is shared once."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    parents = {
        int(stat.parent.name): int(fields[1])
        for stat in Path("/proc").glob("[0-9]*/stat")
        if (fields := _read(stat).rpartition(")")[2].split())
    }
    tree = [os.getpid(), *roots]
    for pid in tree:  # grows while it is walked
        tree += [child for child, parent in parents.items() if parent == pid]
    return sum(
        int(line.split()[1]) * 1024
        for pid in tree
        for line in _read(Path(f"/proc/{pid}/smaps_rollup")).splitlines()
        if line.startswith("Pss:")
    )


def _read(path: Path) -> str:
    """Read a file of a process that may have ended."""
    try:
        return path.read_text()
    except OSError:
        return ""


if __name__ == "__main__":
    name, data_file, work_folder, seconds = sys.argv[1:]
    engine_class = importlib.import_module(name).Engine
    told = measure(engine_class, Path(data_file), Path(work_folder), float(seconds))
    print(json.dumps(told), flush=True)
