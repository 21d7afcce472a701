"""Every benchmark runs, and says what it is there to say."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

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


def test_at_rest(tmp_path: Path) -> None:
    """The same is measured of a bank in clear and of an encrypted one."""
    told = _run(tmp_path, "at-rest")
    assert told["clear"].keys() == told["encrypted"].keys() == told["ratio"].keys()
    assert min(told["encrypted"].values()) > 0


def test_audit(tmp_path: Path) -> None:
    """Each kind of call is timed with its row and without."""
    told = _run(tmp_path, "audit")
    for kind in ("add_1", "add_100", "withdraw_or_restore_1", "find_matches_by_hash"):
        assert told[kind]["ratio"] > 0


def test_restart(tmp_path: Path) -> None:
    """A start with and without segments is timed, and memory is told for each server."""
    told = _run(tmp_path, "restart")
    assert told["restart_s"] > 0
    assert told["rebuild_s"] > 0
    assert len(told["pss_bytes_each"]) == told["servers"] == 2
    # A supervisor by itself holds 39 MB; what its worker and the cells hold counts too.
    assert min(told["pss_bytes_each"]) > 60e6


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


def _report(folder: Path, *words: str) -> dict[str, Any]:
    """Run a benchmark at its smallest; return the record that it wrote, having checked it."""
    code = "from imageward_bench.cli import main; main()"
    command = [sys.executable, "-c", code, *words, "--smoke", "--out", str(folder)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=ENDS_S_MAX, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    name = words[0]
    told: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
    assert told["benchmark"] == name
    assert told["settings"]["seed"] == 1
    assert {"command", "commit", "cpu", "versions", "when"} <= told["machine"].keys()
    assert all(one["values"] for one in told["measures"])
    page = (folder / f"{name}.md").read_text()
    pictures = re.findall(r"\]\((.*?\.png)\)", page)
    assert pictures
    assert all((folder / one).read_bytes().startswith(b"\x89PNG") for one in pictures)
    return told


def test_load(tmp_path: Path) -> None:
    """An open loop tells rates, latencies and statuses, for us, for ghz and for HdrHistogram."""
    told = _report(tmp_path, "load")
    assert told["details"]["median"]["wrong"] == 0
    assert sum(told["details"]["median"]["statuses"].values()) == 400
    ghz = json.loads((tmp_path / "load.ghz.json").read_text())
    assert ghz["count"] == 400
    assert {"average", "fastest", "slowest", "rps", "latencyDistribution"} <= ghz.keys()
    assert ghz["fastest"] <= ghz["average"] <= ghz["slowest"]
    lines = (tmp_path / "load.hgrm").read_text().split("\n")
    assert lines[0].split() == ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"]


def test_capacity(tmp_path: Path) -> None:
    """A ladder of rates is measured, and the echo beside the closed loop."""
    told = _report(tmp_path, "capacity")
    names = {one["name"].partition(": ")[2] for one in told["measures"]}
    assert {"closed loop", "gRPC echo", "share of echo"} <= names
    assert len(told["details"]["banks"][0]["points"]) >= 8
    # 2,000 images of 11,600 bytes, told as computed.
    page = (tmp_path / "capacity.md").read_text()
    assert "computed and not measured here, at most: 2,000 images: 23 MB" in page


@pytest.mark.skipif(shutil.which("h2load") is None, reason="h2load (nghttp2-client) is absent")
def test_agree(tmp_path: Path) -> None:
    """Both generators' figures stand beside their ratio, whether they agree or not."""
    code = "from imageward_bench.cli import main; main()"
    words = ["agree", "--rate", "100", "--duration-s", "1", "--repetitions", "1"]
    command = [sys.executable, "-c", code, *words, "--out", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=ENDS_S_MAX, check=False)
    assert ended.returncode in {0, 1}, ended.stdout + ended.stderr
    told = json.loads((tmp_path / "agree.json").read_text())
    mine, other = (one["values"][0] for one in told["measures"] if one["unit"] == "1/s")
    page = (tmp_path / "agree.md").read_text()
    assert f"{mine / other:.3f}" in page


def test_hash(tmp_path: Path) -> None:
    """A check is timed with its stages, beside Pillow with pdqhash."""
    told = _report(tmp_path, "hash")
    names = {one["name"].partition(", ")[2] for one in told["measures"]}
    assert {"imageward, a check", "Pillow + pdqhash", "decode", "hash", "regions"} <= names


def test_freshness(tmp_path: Path) -> None:
    """Every turn tells when a change was acknowledged and when each connection knew."""
    told = _report(tmp_path, "freshness")
    turns = told["details"]["turns"]
    assert len(turns) == 5
    assert all(0 < change["first_s"] <= change["last_s"] for turn in turns for change in turn)
    assert told["details"]["checks_answered_meanwhile"] > 0


def test_peers(tmp_path: Path) -> None:
    """Imageward itself is measured as library and service, and finds everything."""
    told = _report(tmp_path, "peers")
    found = {one["name"]: one for one in told["details"]["peers"]}
    assert found.keys() == {"imageward, service", "imageward, library"}
    assert {one["recall"] for one in found.values()} == {1.0}
    assert {one["extra"] for one in found.values()} == {0}
    assert all(None not in one["told"]["added_s"] for one in found.values())
