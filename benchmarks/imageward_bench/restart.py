"""How long a server takes from its start to SERVING, and what its processes share.

1. a bank of so many random hashes, with segments
2. restart: segments are mapped, newer changes replayed
3. start several servers on the same folder: what each holds alone, what all share
4. restart without segments: the store is read, the segments are built
"""

from __future__ import annotations

import json
import shutil
import statistics
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from imageward_bench.filled_bank import Filling, copy_of_filled
from imageward_bench.machine import describe
from imageward_bench.process_tree import look, resident_bytes
from imageward_bench.server_process import ServerProcess


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured.

    Attributes:
        count: hashes in the bank.
        seed: of them.
        starts: how often the restart is timed; the median counts.
        servers: how many share the folder.
    """

    count: int
    seed: int
    starts: int = 3
    servers: int = 4


def run(console: Console, plan: Plan, report: Path | None) -> None:
    """Measure, print, and write the figures as JSON where asked."""
    with copy_of_filled(Filling(plan.count, plan.seed), console) as folder:
        server = ServerProcess(folder)
        figures: dict[str, object] = {"entries": plan.count, "seed": plan.seed}
        figures["restart_s"] = _median_start_s(server, plan.starts)
        figures |= _shared(folder, plan.servers)
        shutil.rmtree(folder / "segments")
        figures["rebuild_s"] = _start_s(server)
        figures["store_bytes"] = sum(f.stat().st_size for f in folder.glob("imageward.sqlite3*"))
    figures["machine"] = describe()
    console.print_json(data=figures)
    if report is not None:
        report.write_text(json.dumps(figures, indent=2) + "\n")


def _start_s(server: ServerProcess) -> float:
    begun = time.perf_counter()
    with server:
        return round(time.perf_counter() - begun, 2)


def _median_start_s(server: ServerProcess, starts: int) -> float:
    return statistics.median(_start_s(server) for _ in range(starts))


def _shared(folder: Path, count: int) -> dict[str, object]:
    """Start several servers on one folder; tell what each, with its processes, holds."""
    with ExitStack() as running:
        servers = [running.enter_context(ServerProcess(folder)) for _ in range(count)]
        rss = [resident_bytes(server.pid) for server in servers]
        pss = [look(server.pid).memory_bytes for server in servers]
    segment_bytes = sum(path.stat().st_size for path in (folder / "segments").iterdir())
    return {
        "servers": count,
        "segment_bytes": segment_bytes,
        "rss_bytes_each": rss,
        "pss_bytes_each": pss,
        "pss_bytes_in_all": sum(pss),
    }
