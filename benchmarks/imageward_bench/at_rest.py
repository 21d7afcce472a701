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
sys.stdin.readline()
rollup = pathlib.Path("/proc/self/smaps_rollup").read_text()
print(1024 * int(rollup.split("Pss:")[1].split()[0]), flush=True)
sys.stdin.readline()
"""


def run(console: Console, count: int, seed: int, report: Path | None) -> None:
    """Measure, print, and write the figures as JSON where asked."""
    with tempfile.TemporaryDirectory(prefix="imageward-at-rest-", dir="/var/tmp") as name:
        kinds = {"clear": None, "encrypted": Vault(Path(name) / "keys", bytes(32))}
        measured = {
            kind: _measure(console, Path(name) / kind, vault, count, seed)
            for kind, vault in kinds.items()
        }
    figures = {
        "entries": count,
        "seed": seed,
        **measured,
        "ratio": {
            what: round(measured["encrypted"][what] / value, 2) if value else None
            for what, value in measured["clear"].items()
        },
        "machine": describe(),
    }
    console.print_json(data=figures)
    if report is not None:
        report.write_text(json.dumps(figures, indent=2) + "\n")


def _measure(
    console: Console, folder: Path, vault: Vault | None, count: int, seed: int
) -> dict[str, float]:
    folder.mkdir()
    console.print(f"{folder.name}: {count:,} entries")
    store = Store(sqlite_url(folder), vault=vault, erase_after_s=0)
    store.open()
    store.create_bank("bench", Policy())
    figures = _add(store, count, np.random.default_rng(seed))
    figures |= _serve(store, folder, count, seed)
    # What this process has mapped, the first of the others would find decrypted.
    gc.collect()
    figures |= _open(folder, store)
    store.close()
    figures["store_bytes"] = sum(path.stat().st_size for path in folder.glob("*.sqlite3*"))
    return {name: round(value, 6) for name, value in figures.items()}


def _serve(store: Store, folder: Path, count: int, seed: int) -> dict[str, float]:
    replica = Replica(store, folder, 60.0, seal_codes=max(count // 2, 1))
    try:
        return {
            "start_from_store_s": _timed(lambda: replica.load(lambda *_: None)),
            **_search(replica, seed),
            "erase_s": _timed(lambda: _erase_one(store, replica)),
        }
    finally:
        replica.stop()


def _add(store: Store, count: int, generator: np.random.Generator) -> dict[str, float]:
    singles = [
        _timed(lambda row=row: store.add_entries("bench", f"one {row}", _new(generator, 1)))  # type: ignore[misc]
        for row in range(SINGLE)
    ]
    begun_s = time.perf_counter()
    for first in range(0, count, BATCH):
        store.add_entries("bench", f"many {first}", _new(generator, min(BATCH, count - first)))
    a_second = count / (time.perf_counter() - begun_s)
    return {"add_one_ms": 1000 * float(np.median(singles)), "add_many_a_second": a_second}


def _new(generator: np.random.Generator, count: int) -> list[NewEntry]:
    codes = generator.integers(0, 256, (count, 32), np.uint8)
    hashes = [PdqHash(code.tobytes(), 80) for code in codes]
    return [NewEntry(Fingerprint(one), EntrySource.HASH) for one in hashes]


def _search(replica: Replica, seed: int) -> dict[str, float]:
    queries = np.random.default_rng(seed + 1).integers(0, 256, (QUERIES, 32), np.uint8)
    latencies = [
        _timed(lambda row=row: replica.hashes.search(queries[row : row + 1], RADIUS_BITS))  # type: ignore[misc]
        for row in range(QUERIES)
    ]
    return {"search_p50_us": 1e6 * float(np.median(latencies))}


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


def _timed(action: Callable[[], Any]) -> float:
    begun_s = time.perf_counter()
    action()
    return time.perf_counter() - begun_s
