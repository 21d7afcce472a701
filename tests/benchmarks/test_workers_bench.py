"""The benchmarks of several workers run, and say what they are there to say."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from imageward_bench.cpu_bound import CannotBound, bounded
from imageward_bench.process_tree import look

ENDS_S_MAX = 100
BOUND_S = 1.0


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


def test_bound() -> None:
    """A process that may use a fifth of a core uses about that."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
        try:
            with bounded([busy.pid], 0.2):
                used_s = _used_s(busy.pid, BOUND_S)
        except CannotBound as error:
            pytest.skip(f"needs control groups: {error}")
        finally:
            busy.kill()
    assert 0 < used_s < 0.35 * BOUND_S


def _used_s(pid: int, wait_s: float) -> float:
    """Return the processor time that a process uses while we wait."""
    before = look(pid).cpu_s[pid]
    time.sleep(wait_s)
    return look(pid).cpu_s[pid] - before
