"""What searches feel of sealing and merging: their latency before, beside and after.

Each round fills the tail and searches while nothing else happens; searches while another
thread seals the tail and merges all segments into one; and searches the one segment
alone. What is beside begins with the parts of before and ends with those of after.
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
from imageward_index.block import Block
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
        sealer.build([Block(np.arange(count), codes)], 0)
        queries = codes[generator.integers(0, count, QUERIES)]
        before, beside, after = [], [], []
        for turn in range(ROUNDS):
            console.print(
                f"round {turn + 1} of {ROUNDS}: searches before, beside and after sealing"
            )
            index.add(
                np.arange(seal_codes) + count + turn * seal_codes,
                generator.integers(0, 256, (seal_codes, 32), np.uint8),
            )
            before.append(_search(index, queries))
            beside.append(_search_beside(index, sealer, queries))
            after.append(_search(index, queries))
        sealer.close()
    figures = {
        "codes": count,
        "seed": seed,
        "radius_bits": RADIUS_BITS,
        "rounds": ROUNDS,
        "codes_sealed_a_round": seal_codes,
        "before_us": _percentiles(before),
        "beside_us": _percentiles(beside),
        "after_us": _percentiles(after),
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
