"""The benchmarks of several workers run, and say what they are there to say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ENDS_S_MAX = 100


def _run(*words: str) -> None:
    code = "from imageward_bench.cli import main; main()"
    ended = subprocess.run(
        [sys.executable, "-c", code, *words, "--smoke"],
        capture_output=True,
        text=True,
        timeout=ENDS_S_MAX,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr


def test_workers(tmp_path: Path) -> None:
    """Scaling, balance and the time until all workers see a change are told."""
    _run("workers", "--json", str(tmp_path / "report.json"))
    told = json.loads((tmp_path / "report.json").read_text())
    assert [run["workers"] for run in told["runs"]] == [1, 2]
    # 32 calls of one caller are the most it may have at once: one too early is refused.
    assert all(run["failed"] < run["calls_per_s"] for run in told["runs"])
    assert told["scaling"] > 0
    assert told["visibility"]["seen_ms"]["p99"] > 0


def test_soak(tmp_path: Path) -> None:
    """Calls are answered beside changes and swaps, and every process has its slope."""
    _run("soak", "--out", str(tmp_path))
    told = json.loads((tmp_path / "soak.json").read_text())
    # A machine that others use may be too slow for some of them.
    assert told["failed"] < told["calls"] / 2
    assert told["swaps"] > 0
    assert told["withdrawn"] > 0
    assert len(told["processes"]) == 3
    assert (tmp_path / "soak.png").stat().st_size > 0
