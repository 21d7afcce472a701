"""What searches feel of sealing and merging: their latency without and beside it.

Each round fills the tail, searches while nothing else happens, then searches while
another thread seals the tail and merges all segments into one. So both halves begin
with the same parts, and a slower moment of the machine falls on either.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from imageward_bench.machine import describe
from imageward_index.index import Index
from imageward_index.manifest import Origin
from imageward_index.sealer import SEAL_CODES, Sealer

ROUNDS = 5
RADIUS_BITS = 31
QUERIES = 1000
# As the server sets it.
SWITCH_S = 0.0005


def run(console: Console, count: int, seed: int, report: Path | None) -> None:
    """Measure, print, and write the figures as JSON where asked."""
    generator = np.random.default_rng(seed)
    sys.setswitchinterval(SWITCH_S)
    with tempfile.TemporaryDirectory(prefix="imageward-sealing-", dir="/var/tmp") as folder:
        index = Index()
        seal_codes = min(SEAL_CODES[256], count // 4)
        sealer = Sealer(index, Path(folder), Origin("bench", "bench", 256), seal_codes)
        codes = generator.integers(0, 256, (count, 32), np.uint8)
        sealer.build([(np.arange(count), codes)], 0)
        queries = codes[generator.integers(0, count, QUERIES)]
        alone, beside = [], []
        for turn in range(ROUNDS):
            console.print(f"round {turn + 1} of {ROUNDS}: searches alone, then beside sealing")
            index.add(
                np.arange(seal_codes) + count + turn * seal_codes,
                generator.integers(0, 256, (seal_codes, 32), np.uint8),
            )
            alone.append(_search(index, queries))
            beside.append(_search_beside(index, sealer, queries))
        sealer.close()
    figures = {
        "codes": count,
        "seed": seed,
        "radius_bits": RADIUS_BITS,
        "rounds": ROUNDS,
        "codes_sealed_a_round": seal_codes,
        "alone_us": _percentiles(alone),
        "beside_us": _percentiles(beside),
        "machine": describe(),
    }
    console.print_json(data=figures)
    if report is not None:
        report.write_text(json.dumps(figures, indent=2) + "\n")


def _search(index: Index, queries: NDArray[np.uint8]) -> list[float]:
    """Search each query by itself; return the latencies in microseconds."""
    latencies = []
    for row in range(len(queries)):
        begun = time.perf_counter()
        index.search(queries[row : row + 1], RADIUS_BITS)
        latencies.append((time.perf_counter() - begun) * 1e6)
    return latencies


def _search_beside(index: Index, sealer: Sealer, queries: NDArray[np.uint8]) -> list[float]:
    """Search for as long as another thread seals the tail and merges all segments."""
    worker = threading.Thread(target=sealer.compact)
    latencies: list[float] = []
    worker.start()
    while worker.is_alive():
        latencies += _search(index, queries)
    worker.join()
    return latencies


def _percentiles(rounds: list[list[float]]) -> dict[str, float]:
    """Return the median over the rounds of each percentile."""
    return {
        f"p{percentile}": round(float(np.median([np.percentile(r, percentile) for r in rounds])), 1)
        for percentile in (50, 99)
    }
