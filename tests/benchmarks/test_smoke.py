"""Every benchmark runs, and says what it is there to say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ENDS_S_MAX = 100


def _run(folder: Path, *words: str) -> dict[str, Any]:
    """Run a benchmark at its smallest; return the JSON that it wrote."""
    report = folder / "report.json"
    code = "from imageward_bench.cli import main; main()"
    command = [sys.executable, "-c", code, *words, "--smoke", "--json", str(report)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=ENDS_S_MAX, check=False)
    assert ended.returncode == 0, ended.stderr
    told: dict[str, Any] = json.loads(report.read_text())
    return told


def test_index(tmp_path: Path) -> None:
    """Ours finds all that FAISS's flat index finds; rows, seed, versions, plots are there."""
    told = _run(tmp_path, "index", "--data", "uniform", "--plots", str(tmp_path))
    rows = {row["engine"]: row for row in told["rows"]}
    assert rows["imageward"]["recall"] == rows["FAISS flat"]["recall"] == 1.0
    assert {"median_us", "qps", "bytes_per_code", "build_s"} <= rows["imageward"].keys()
    assert told["seed"] == 1
    assert told["machine"]["versions"]["numba"]
    plots = {path.name for path in tmp_path.glob("*.png")}
    assert plots == {"index_latency.png", "index_quality.png"}


def test_sealing(tmp_path: Path) -> None:
    """Latencies before, beside and after are told, and something was sealed."""
    told = _run(tmp_path, "sealing")
    assert told["codes_sealed_a_round"] > 0
    for part in ("before_us", "beside_us", "after_us"):
        assert 0 < told[part]["p50"] <= told[part]["p99"]


def test_restart(tmp_path: Path) -> None:
    """A start with and without segments is timed, and memory is told for each process."""
    told = _run(tmp_path, "restart")
    assert told["restart_s"] > 0
    assert told["rebuild_s"] > 0
    assert len(told["pss_bytes_each"]) == told["processes"] == 4


def test_lookups(tmp_path: Path) -> None:
    """Made-up codes are compared with real ones, and looked up by two passes; a plot is there."""
    told = _run(tmp_path, "lookups", "--plots", str(tmp_path))
    (row,) = told["rows"]
    assert (row["images"], row["codes"], row["segments"]) == (300, 300 * 248, 1)
    assert 0 < row["first_cpu_ms"][0] < row["all_cpu_ms"][0]
    assert row["attachment_bytes_an_image"] == 3600
    assert [one["name"] for one in told["likeness"]] == ["photographs", "made up"]
    assert (tmp_path / "lookups.png").exists()


def test_edits(tmp_path: Path) -> None:
    """Edits are found, nothing is blocked that is not banked, and costs are told."""
    told = _run(tmp_path, "edits", "--decoys", "50", "--decoy-photographs", "1")
    assert told["mean_recall"]["imageward"] >= 0.9
    assert sum(kind["blocked"] for kind in told["negatives"].values()) == 0
    assert told["costs"]["as they are"]["hash_bits"] == 0
    assert told["crowded"]["50"]["false_blocks"] == 0
