"""What a benchmark ran on and with: told in every result, or its numbers mean nothing."""

from __future__ import annotations

import ctypes
import os
import platform
import shlex
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from imageward_bench.process_tree import machine_time

TOLD_FLAGS = ("popcnt", "avx2", "avx512f", "avx512bw", "avx512_bitalg", "avx512_vpopcntdq", "asimd")
"""Processor features that decide how fast bits are counted."""

TOLD_PACKAGES = (
    "imageward",
    "grpcio",
    "protobuf",
    "numpy",
    "numba",
    "llvmlite",
    "opencv-python-headless",
    "faiss-cpu",
    "usearch",
)

_BEGUN, _BEGUN_S = machine_time(), time.monotonic()


def _cpuinfo(key: str) -> str:
    """Return the first value of a key in /proc/cpuinfo, or nothing where there is none."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    values = [line.partition(":")[2].strip() for line in lines if line.startswith(key)]
    return values[0] if values else ""


def _version(package: str) -> str:
    """Return a package's version, or that it is absent."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def _commit() -> str:
    """Return the commit of the checkout that this runs from, and whether it was changed."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        told = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown: not a git checkout"
    return told.stdout.strip()


def stolen_cores() -> float:
    """Return the cores that the hypervisor gave to other machines since this was imported."""
    span_s = time.monotonic() - _BEGUN_S
    return machine_time().cores_since(_BEGUN, span_s).stolen_s


def describe() -> dict[str, object]:
    """Return command, commit, processor with its features, and versions of what is measured."""
    flags = set((_cpuinfo("flags") or _cpuinfo("Features")).split())
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "cpu": _cpuinfo("model name") or platform.processor(),
        "cpu_flags": [flag for flag in TOLD_FLAGS if flag in flags],
        "cores": os.cpu_count(),
        "stolen_cores": round(stolen_cores(), 2),
        "load_1min": round(os.getloadavg()[0], 2),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "versions": {package: _version(package) for package in TOLD_PACKAGES},
    }


def resident_bytes() -> int:
    """Return the bytes of this process that are in memory, what was freed given back first."""
    ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def reset_peak() -> None:
    """Forget how much memory this process has had."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_bytes() -> int:
    """Return the most that was in memory of this process since `reset_peak`, mapped files too."""
    status = Path("/proc/self/status").read_text().splitlines()
    (peak,) = (line for line in status if line.startswith("VmHWM"))
    return int(peak.split()[1]) * 1024
