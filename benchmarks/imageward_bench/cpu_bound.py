"""Bounds on the processor time of processes, by Linux's control groups of either version.

For what can only be told on more cores than there are: a process that may use half of a
core has a core of half the speed, and two of them have two.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

V1 = Path("/sys/fs/cgroup/cpu")
V2 = Path("/sys/fs/cgroup")
# Short, so that nobody waits long for the next one.
PERIOD_US = 10_000


class CannotBound(Exception):
    """There are no control groups, or they are not ours to write."""


@contextmanager
def bounded(pids: Sequence[int], cores: float) -> Iterator[None]:
    """Let each of these processes use so many cores, 0.1 or more, for as long as this lasts.

    Raises:
        CannotBound: there are no control groups, or they are not ours to write.
    """
    with ExitStack() as made:
        try:
            for pid in pids:
                made.enter_context(_bounded(pid, round(cores * PERIOD_US)))
        except OSError as error:
            raise CannotBound(f"no control group can be written: {error}") from error
        yield


@contextmanager
def _bounded(pid: int, quota_us: int) -> Iterator[None]:
    parent, bounds = _version(quota_us)
    group = parent / f"imageward-bench-{os.getpid()}-{pid}"
    group.mkdir()
    try:
        for name, value in bounds.items():
            (group / name).write_text(value)
        (group / "cgroup.procs").write_text(str(pid))
        yield
    finally:
        # A group with a process in it cannot be removed.
        for left in (group / "cgroup.procs").read_text().split():
            (parent / "cgroup.procs").write_text(left)
        group.rmdir()


def _version(quota_us: int) -> tuple[Path, dict[str, str]]:
    """Return where groups are made, and the files that say how much one may use."""
    if (V1 / "cpu.cfs_quota_us").exists():
        return V1, {"cpu.cfs_period_us": str(PERIOD_US), "cpu.cfs_quota_us": str(quota_us)}
    (V2 / "cgroup.subtree_control").write_text("+cpu")
    return V2, {"cpu.max": f"{quota_us} {PERIOD_US}"}
