"""What one process holds: memory, descriptors, threads. Read from /proc."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class ProcessState:
    """One look at a process.

    Attributes:
        pss_bytes: proportional set size: what several processes map counts once.
        own_bytes: what of that is no file.
        descriptors: open files and sockets.
        threads: how many it has.
    """

    pss_bytes: int
    own_bytes: int
    descriptors: int
    threads: int


def state_of(pid: int) -> ProcessState:
    """Look at a process."""
    lines = (_PROC / str(pid) / "smaps_rollup").read_text().splitlines()[1:]
    kept = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}
    return ProcessState(
        kept["Pss"],
        kept["Pss_Anon"],
        len(list((_PROC / str(pid) / "fd").iterdir())),
        len(list((_PROC / str(pid) / "task").iterdir())),
    )


def children_of(pid: int) -> list[int]:
    """List the processes that a process of one thread has started and that still run."""
    return [int(one) for one in (_PROC / f"{pid}/task/{pid}/children").read_text().split()]
