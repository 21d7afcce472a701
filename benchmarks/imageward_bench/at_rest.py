"""What encryption at rest costs: the same bank in clear and encrypted, measured in turn.

For each: additions of one entry and of many, a start that reads the store, opening the
sealed segment by the first process and by the next, searches in it, what the processes
hold in memory together, and one erasure from the store and the segment.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from imageward_bench.machine import describe
from imageward_index.fingerprint import Fingerprint
from imageward_index.pdq import PdqHash
from imageward_index.policy import Policy
from imageward_index.warm_up import warm_up
from imageward_server.keys.vault import Vault
from imageward_server.replica import HASH_SEGMENTS, Replica
from imageward_server.store import EntrySource, EntryState, NewEntry, Store
from imageward_server.store.engine import sqlite_url

BATCH = 1024
SINGLE = 200
QUERIES = 2000
PROCESSES = 3
RADIUS_BITS = 31

# Opens the segments of a folder, searches, tells how long it took, and waits to be measured.
_OPENER = """
import json, pathlib, sys, time
import numpy as np
from imageward_index.segment import Segment
class Keys:
    def find(self, name):
        return bytes.fromhex(keys[name])
keys = json.loads(sys.argv[2])
before_s = time.perf_counter()
opened = [Segment.open(path, keys=Keys() if keys else None)
          for path in sorted(pathlib.Path(sys.argv[1]).glob("*.segment"))]
print(time.perf_counter() - before_s, flush=True)
for segment in opened:  # so that all of it is mapped, as after some searches
    for array in segment._arrays.values():
        array.sum()
sys.stdin.readline()
rollup = pathlib.Path("/proc/self/smaps_rollup").read_text()
print(1024 * int(rollup.split("Pss:")[1].split()[0]), flush=True)
sys.stdin.readline()
"""


class Side:
    """One of the two banks, with what was measured of it.

    Args:
        folder: of the store and its segments; made.
        vault: what it is encrypted with, if it is.
    """

    def __init__(self, folder: Path, vault: Vault | None) -> None:
        folder.mkdir()
        self.folder = folder
        self.store = Store(sqlite_url(folder), vault=vault, erase_after_s=0)
        self.store.open()
        self.store.create_bank("bench", Policy())
        self.figures: dict[str, float] = {}


def run(console: Console, count: int, seed: int, report: Path | None) -> None:
    """Measure, print, and write the figures as JSON where asked."""
    with tempfile.TemporaryDirectory(prefix="imageward-at-rest-", dir="/var/tmp") as name:
        clear = Side(Path(name) / "clear", None)
        encrypted = Side(Path(name) / "encrypted", Vault(Path(name) / "keys", bytes(32)))
        _measure(console, (clear, encrypted), count, seed)
    figures = {
        "entries": count,
        "seed": seed,
        "clear": clear.figures,
        "encrypted": encrypted.figures,
        "ratio": {
            what: round(encrypted.figures[what] / value, 2) for what, value in clear.figures.items()
        },
        "machine": describe(),
    }
    console.print_json(data=figures)
    if report is not None:
        report.write_text(json.dumps(figures, indent=2) + "\n")


def _measure(console: Console, sides: tuple[Side, ...], count: int, seed: int) -> None:
    """Measure step by step, each of both sides before the next: load changes meanwhile."""
    console.print(f"adding {count:,} entries to both")
    _add(sides, count, np.random.default_rng(seed))
    console.print("starting, searching, erasing")
    _serve(sides, count, seed)
    # What this process has mapped, the first of the others would find decrypted.
    gc.collect()
    for side in sides:
        side.figures |= _open(side.folder, side.store)
        side.store.close()
        files = side.folder.glob("*.sqlite3*")
        side.figures["store_bytes"] = sum(path.stat().st_size for path in files)
        side.figures = {name: round(value, 6) for name, value in side.figures.items()}


def _serve(sides: tuple[Side, ...], count: int, seed: int) -> None:
    replicas = [
        Replica(side.store, side.folder, 60.0, seal_codes=max(count // 2, 1)) for side in sides
    ]
    _timed(warm_up)  # compiles, for whichever is the first
    for side, replica in zip(sides, replicas, strict=True):
        side.figures["start_from_store_s"] = _timed(replica.load, _silent)
    _search(sides, replicas, seed)
    for side, replica in zip(sides, replicas, strict=True):
        side.figures["erase_s"] = _timed(_erase_one, side.store, replica)
        replica.stop()


def _add(sides: tuple[Side, ...], count: int, generator: np.random.Generator) -> None:
    singles: list[list[float]] = [[] for _ in sides]
    spent_s = [0.0 for _ in sides]
    for row in range(SINGLE):
        for place, side in enumerate(sides):
            singles[place].append(_add_timed(side, f"one {row}", _new(generator, 1)))
    for first in range(0, count, BATCH):
        new = _new(generator, min(BATCH, count - first))
        for place, side in enumerate(sides):
            spent_s[place] += _add_timed(side, f"many {first}", new)
    for place, side in enumerate(sides):
        side.figures["add_one_ms"] = 1000 * float(np.median(singles[place]))
        side.figures["add_many_a_second"] = count / spent_s[place]


def _add_timed(side: Side, request_id: str, new: list[NewEntry]) -> float:
    return _timed(side.store.add_entries, "bench", request_id, new)


def _new(generator: np.random.Generator, count: int) -> list[NewEntry]:
    codes = generator.integers(0, 256, (count, 32), np.uint8)
    hashes = [PdqHash(code.tobytes(), 80) for code in codes]
    return [NewEntry(Fingerprint(one), EntrySource.HASH) for one in hashes]


def _search(sides: tuple[Side, ...], replicas: list[Replica], seed: int) -> None:
    queries = np.random.default_rng(seed + 1).integers(0, 256, (QUERIES, 32), np.uint8)
    latencies: list[list[float]] = [[] for _ in sides]
    for row in range(QUERIES):
        for place, replica in enumerate(replicas):
            query = queries[row : row + 1]
            latencies[place].append(_timed(replica.hashes.search, query, RADIUS_BITS))
    for place, side in enumerate(sides):
        side.figures["search_p50_us"] = 1e6 * float(np.median(latencies[place]))


def _open(folder: Path, store: Store) -> dict[str, float]:
    """Open the segments in processes of their own, one after the other."""
    keys = store.segment_keys(HASH_SEGMENTS)
    names = [path.name for path in (folder / HASH_SEGMENTS).glob("*.segment")]
    handed = {} if keys is None else {one: (keys.find(one) or b"").hex() for one in names}
    told: dict[str, float] = {}
    command = [sys.executable, "-c", _OPENER, str(folder / HASH_SEGMENTS), json.dumps(handed)]
    openers = []
    for place in range(PROCESSES):
        openers.append(_start(command))
        told[f"open_{place + 1}_s"] = float(_line(openers[-1]))
    for opener in openers:
        _tell(opener)
    told["pss_bytes_in_all"] = sum(float(_line(opener)) for opener in openers)
    for opener in openers:
        opener.communicate("\n")
    return told


def _erase_one(store: Store, replica: Replica) -> None:
    (record,) = store.list_entries(bank_number=None, state=None, after_id=0, limit=1)
    store.set_state([record.id], EntryState.WITHDRAWN)
    store.erase([record.id])
    waiting = replica.erase([record.id])
    for sealer in replica.sealers:
        assert sealer.step(), "this process seals"
    assert all(done.is_set() for done in waiting)
    assert store.finish_erasures([record.id])


def _start(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _tell(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def _timed(action: Callable[..., Any], *arguments: object) -> float:
    begun_s = time.perf_counter()
    action(*arguments)
    return time.perf_counter() - begun_s


def _silent(_doing: str, _done: int, _in_all: int) -> None:
    """Say nothing."""
