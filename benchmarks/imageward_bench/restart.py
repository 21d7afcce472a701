"""How long a server takes from its start to SERVING, and what its processes share.

1. bank so many random hashes through the client
2. restart: segments are mapped, newer changes replayed
3. start four servers on the same folder: what each holds alone, what all share
4. restart without segments: the store is read, the segments are built
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from imageward_bench.machine import describe
from imageward_bench.server_process import ServerProcess
from imageward_client import Client

BATCH = 1024
PROCESSES = 4
TIMEOUT_S = 120.0
# After the last addition the sealer may still be at work.
SETTLE_S_MAX = 600.0


def run(console: Console, count: int, seed: int, report: Path | None) -> None:
    """Measure, print, and write the figures as JSON where asked."""
    with tempfile.TemporaryDirectory(prefix="imageward-restart-", dir="/var/tmp") as name:
        folder = Path(name)
        server = ServerProcess(folder)
        with server:
            _fill(server, count, seed, console)
            _settle(folder)
        figures: dict[str, object] = {"entries": count, "seed": seed}
        figures["restart_s"] = _median_start_s(server)
        figures |= _shared(folder)
        shutil.rmtree(folder / "segments")
        figures["rebuild_s"] = _start_s(server)
        figures["store_bytes"] = sum(f.stat().st_size for f in folder.glob("imageward.sqlite3*"))
    figures["machine"] = describe()
    console.print_json(data=figures)
    if report is not None:
        report.write_text(json.dumps(figures, indent=2) + "\n")


def _fill(server: ServerProcess, count: int, seed: int, console: Console) -> None:
    with Client(server.target, timeout_s=TIMEOUT_S) as client:
        client.create_bank("bench")
        for hashes in track(list(_batches(count)), "banking random hashes", console=console):
            codes = np.random.default_rng([seed, hashes[0]]).integers(0, 256, (hashes[1], 32), "u1")
            client.add_entries("bench", hashes=[code.tobytes() for code in codes])


def _batches(count: int) -> Iterator[tuple[int, int]]:
    for first in range(0, count, BATCH):
        yield first, min(BATCH, count - first)


def _settle(folder: Path) -> None:
    """Wait until the sealer has written nothing new for a while."""
    deadline, seen = time.monotonic() + SETTLE_S_MAX, None
    while time.monotonic() < deadline:
        now = sorted(path.name for path in (folder / "segments").iterdir())
        if now == seen:
            return
        seen = now
        time.sleep(5)


def _start_s(server: ServerProcess) -> float:
    begun = time.perf_counter()
    with server:
        return round(time.perf_counter() - begun, 2)


def _median_start_s(server: ServerProcess) -> float:
    return sorted(_start_s(server) for _ in range(3))[1]


def _shared(folder: Path) -> dict[str, object]:
    """Start several servers on one folder and sum their proportional set sizes."""
    with ExitStack() as running:
        servers = [running.enter_context(ServerProcess(folder)) for _ in range(PROCESSES)]
        rollups = [_rollup_bytes(server.pid) for server in servers]
    segment_bytes = sum(path.stat().st_size for path in (folder / "segments").iterdir())
    return {
        "processes": PROCESSES,
        "segment_bytes": segment_bytes,
        "rss_bytes_each": [one["Rss"] for one in rollups],
        "pss_bytes_each": [one["Pss"] for one in rollups],
        "pss_bytes_in_all": sum(one["Pss"] for one in rollups),
    }


def _rollup_bytes(pid: int) -> dict[str, int]:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}
