"""Runs every peer on the same data, and judges what it found."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from imageward_bench.index_data import make_codes, make_queries
from imageward_bench.peers.catalogue import Peer
from imageward_bench.peers.environments import Unavailable, python_of, versions_of

HARNESS = Path(__file__).parent / "engines" / "harness.py"
RADIUS_BITS = 31
ADDED = 5
RUN_S_MAX = 3600

Codes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Data:
    """What every peer gets.

    Attributes:
        codes: uint8 (n, 32), in the bank.
        queries: uint8 (m, 32), every other one near a code.
        added: uint8 (k, 32), taken in later.
        expected: of each query, the ids within the radius.
    """

    codes: Codes
    queries: Codes
    added: Codes
    expected: list[set[int]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a peer did; its reason where it did nothing."""

    peer: Peer
    versions: str = ""
    told: dict[str, Any] | None = None
    recall: float = 0.0
    extra: int = 0
    skipped: str = ""


def make_data(count: int, queries: int, seed: int) -> Data:
    """Make codes, queries and additions, and find by a full scan what must be found."""
    rng = np.random.default_rng(seed)
    codes = make_codes("uniform", count, 256, rng)
    asked = make_queries(codes, queries, RADIUS_BITS, rng)
    scan = faiss.IndexBinaryFlat(256)
    scan.add(codes)
    # FAISS leaves the radius out.
    limits, _, ids = scan.range_search(asked, RADIUS_BITS + 1)
    expected = [set(map(int, part)) for part in np.split(ids, limits[1:-1].astype(int))]
    return Data(codes, asked, rng.integers(0, 256, (ADDED, 32), np.uint8), expected)


def run_peers(
    peers: Sequence[Peer], data: Data, timed_s: float, console: Console
) -> Iterator[Outcome]:
    """Measure each peer by itself, so long; one that cannot be is skipped with its reason."""
    with tempfile.TemporaryDirectory(prefix="imageward-peers-", dir="/var/tmp") as name:
        file = Path(name) / "data.npz"
        np.savez(file, codes=data.codes, queries=data.queries, added=data.added, radius=RADIUS_BITS)
        for peer in peers:
            with console.status(f"{peer.name}: {len(data.codes):,} hashes"):
                outcome = _run(peer, data, timed_s, file)
            console.print(f"{peer.name}: {outcome.skipped or _line(outcome)}")
            yield outcome


def _run(peer: Peer, data: Data, timed_s: float, file: Path) -> Outcome:
    if len(data.codes) > peer.codes_max:
        return Outcome(peer, skipped=f"not built with more than {peer.codes_max:,} hashes")
    work = file.parent / peer.module
    work.mkdir()
    try:
        python = python_of(peer.packages)
        command = [str(python), str(HARNESS), peer.module, str(file), str(work), str(timed_s)]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=RUN_S_MAX, check=False
        )
    except Unavailable as error:
        return Outcome(peer, skipped=str(error))
    except subprocess.TimeoutExpired:
        return Outcome(peer, skipped=f"took more than {RUN_S_MAX} s")
    if done.returncode:
        said = done.stderr.strip().splitlines()
        return Outcome(peer, skipped=f"failed: {said[-1] if said else 'silently'}")
    told = json.loads(done.stdout.splitlines()[-1])
    recall, extra = judge([set(ids) for ids in told.pop("found")], data.expected)
    return Outcome(peer, versions_of(python, peer.packages), told, recall, extra)


def judge(found: Sequence[set[int]], expected: Sequence[set[int]]) -> tuple[float, int]:
    """Return the share of what must be found that was, and how much was found besides."""
    hits = sum(len(one & must) for one, must in zip(found, expected, strict=True))
    extra = sum(len(one - must) for one, must in zip(found, expected, strict=True))
    return hits / max(1, sum(map(len, expected))), extra


def _line(outcome: Outcome) -> str:
    told = outcome.told
    assert told is not None
    return (
        f"p50 {told['p50_ms']:.3f} ms, p99 {told['p99_ms']:.3f} ms, "
        f"{told['many_per_s']:,.0f}/s, recall {outcome.recall:.3f}, "
        f"built in {told['build_s']:.1f} s"
    )
