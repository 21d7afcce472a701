"""Processor time and memory, of a process and all that it started, and of the machine: /proc."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_LISTEN = "0A"


@dataclass(frozen=True, slots=True)
class Usage:
    """What a tree of processes has used.

    Attributes:
        cpu_s: processor seconds so far, by process id.
        memory_bytes: proportional set sizes: what is mapped by several counts once.
        own_bytes: what of that is no file, and would be held again by another process.
    """

    cpu_s: dict[int, float]
    memory_bytes: int
    own_bytes: int

    def cpu_since(self, earlier: Usage) -> float:
        """Return the processor seconds since an earlier look, of those who still run."""
        return sum(used - earlier.cpu_s.get(pid, 0.0) for pid, used in self.cpu_s.items())


def look(*roots: int) -> Usage:
    """Look at processes and all their descendants, each once."""
    pids = _tree(roots)
    return Usage(
        {pid: cpu for pid in pids if (cpu := _cpu_s(pid)) is not None},
        sum(_memory_bytes(pid, "Pss") for pid in pids),
        sum(_memory_bytes(pid, "Pss_Anon") for pid in pids),
    )


def resident_bytes(root: int) -> int:
    """Return what a process and its descendants have in memory, what they share in each."""
    return sum(_memory_bytes(pid, "Rss") for pid in _tree((root,)))


class MachineTime(NamedTuple):
    """Seconds of processors of this machine so far.

    Attributes:
        busy_s: in which they worked.
        stolen_s: in which they should have, but the hypervisor ran another machine.
    """

    busy_s: float
    stolen_s: float

    def cores_since(self, earlier: MachineTime, span_s: float) -> MachineTime:
        """Return both as cores, since an earlier look that many seconds ago."""
        pairs = zip(self, earlier, strict=True)
        return MachineTime(*((now - then) / span_s for now, then in pairs))


def machine_time(processor: int | None = None) -> MachineTime:
    """Look at one processor of this machine, or at all; zeros where the system does not tell."""
    stat = _PROC / "stat"
    if not stat.exists():
        return MachineTime(0.0, 0.0)
    name = "cpu" if processor is None else f"cpu{processor}"
    (line,) = (one for one in stat.read_text().splitlines() if one.startswith(f"{name} "))
    fields = line.split()[1:]
    user, nice, system, _idle, _iowait, irq, softirq, stolen, *_ = map(int, fields)
    busy = user + nice + system + irq + softirq
    return MachineTime(busy / _TICKS_PER_S, stolen / _TICKS_PER_S)


def listener(port: int) -> int | None:
    """Return the process on this machine that listens on a TCP port, or None.

    Of several, as where workers share the port, it is the one that started the others.
    """
    inodes = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    holders = [pid for pid in _pids() if inodes & set(_open_files(pid))]
    parents = _parents()
    tops = [pid for pid in holders if parents.get(pid) not in holders]
    if len(tops) > 1:  # their supervisor does not listen itself
        return parents.get(tops[0])
    return tops[0] if tops else None


def _pids() -> list[int]:
    return [int(one.name) for one in _PROC.iterdir() if one.name.isdigit()]


def _parents() -> dict[int, int]:
    """Return each process's parent."""
    return {pid: int(fields[1]) for pid in _pids() if (fields := _stat(pid))}


def _tree(roots: Sequence[int]) -> list[int]:
    parents = _parents()
    found = list(roots)
    for pid in found:  # grows while it is walked
        found += [child for child, parent in parents.items() if parent == pid]
    return list(dict.fromkeys(found))


def _stat(pid: int) -> list[str]:
    """Return the fields after the command's name; none of a process that has ended."""
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _cpu_s(pid: int) -> float | None:
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S if fields else None


def _memory_bytes(pid: int, kind: str) -> int:
    try:
        lines = (_PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{kind}:"))


def _listening_inodes(port: int) -> Iterable[str]:
    for name in ("tcp", "tcp6"):
        table = _PROC / "net" / name
        for line in table.read_text().splitlines()[1:] if table.exists() else ():
            fields = line.split()
            if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                yield fields[9]


def _open_files(pid: int) -> Iterable[str]:
    try:
        for one in (_PROC / str(pid) / "fd").iterdir():
            yield str(one.readlink())
    except OSError:
        return  # another user's process, or one that has ended
