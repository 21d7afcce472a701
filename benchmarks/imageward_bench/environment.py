"""What a figure was measured on: machine, versions, command."""

from __future__ import annotations

import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

# What carries a figure; the rest is in constraints.txt.
PACKAGES = ("imageward", "numpy", "numba", "faiss-cpu", "opencv-python-headless", "grpcio")
# Of all the flags of a processor, those that search and hashing may use.
FLAGS = ("popcnt", "avx2", "avx512f", "avx512bw", "avx512_bitalg", "avx512_vpopcntdq")


def describe_environment() -> dict[str, object]:
    """Describe the machine, the versions and the command, for JSON."""
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "cpu": _cpu_field("model name"),
        "cpu_flags": sorted(set(FLAGS) & set(_cpu_field("flags").split())),
        "cores": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "load_average": os.getloadavg(),
    }


def _cpu_field(name: str) -> str:
    """Read a field of the first processor; empty where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")
