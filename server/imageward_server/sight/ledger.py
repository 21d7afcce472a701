"""The supervisor's view of all numbers: pages of workers that run, sums of those that ended.

A counter that a worker leaves behind is added to a sum when the worker is buried, in the
same moment in which its page is given up: it is in one of the two and never in both, so no
sum goes backwards and nothing is counted twice.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import tempfile
import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from imageward_server.sight import catalogue
from imageward_server.sight.catalogue import Family, Kind
from imageward_server.sight.page import PAGE_BYTES, PageUnreadable, Sample, read_page

INTAKE_PAGE: Final = "intake.page"
"""In the data folder: what the intake's process counts."""

STAGES: Final = ("loading", "loaded", "serving", "draining")

_STAYS: Final = (Kind.COUNTER, Kind.HISTOGRAM)


class Totals:
    """Samples of several pages put together."""

    def __init__(self) -> None:
        self.families: dict[str, Family] = {}
        self.numbers: dict[str, dict[tuple[str, ...], tuple[float, ...]]] = {}

    def add(self, samples: Iterable[Sample]) -> None:
        """Add counters up; of a gauge take the last, which is its worker's successor's."""
        for family, values, numbers in samples:
            self.families.setdefault(family.name, family)
            series = self.numbers.setdefault(family.name, {})
            before = series.get(values)
            if before is not None and family.kind in _STAYS and len(before) == len(numbers):
                series[values] = tuple(map(sum, zip(before, numbers, strict=True)))
            else:
                series[values] = numbers

    def copy(self) -> Totals:
        """Make another that changes by itself."""
        other = Totals()
        other.families = dict(self.families)
        other.numbers = {name: dict(series) for name, series in self.numbers.items()}
        return other


class WorkerPage:
    """Memory that one worker counts into; it is there for as long as the supervisor is.

    Attributes:
        descriptor: what the worker opens it by.
        memory: the same, as this process reads it.
    """

    def __init__(self) -> None:
        self.descriptor = _open_memory()
        self.memory = mmap.mmap(self.descriptor, PAGE_BYTES)

    def handed_over(self) -> None:
        """Close the descriptor: the worker has its own by now, and the memory stays."""
        os.close(self.descriptor)


class Ledger:
    """Keeps the pages. Safe to read from a thread beside the one that supervises.

    Args:
        others: pages in files, of processes that nobody here has started.
    """

    def __init__(self, others: Sequence[Path] = ()) -> None:
        self._others = others
        self._pages: list[WorkerPage] = []
        self._ended = Totals()
        self._standing: list[Sample] = []
        self._lock = threading.Lock()

    def open(self) -> WorkerPage:
        """Make a page for a worker that is about to start."""
        page = WorkerPage()
        with self._lock:
            self._pages.append(page)
        return page

    def close(self, page: WorkerPage) -> None:
        """Add what a worker has left to the sums: it has ended."""
        left = [one for one in _read(page.memory) if one.family.kind in _STAYS]
        with self._lock:
            self._pages.remove(page)
            self._ended.add(left)
        page.memory.close()

    def note(self, stages: Iterable[str], deaths: Mapping[int, int]) -> None:
        """Take down how the workers stand, and how many have died in each place."""
        count = Counter(stages)
        self._standing = [
            *(Sample(catalogue.WORKERS, (one,), (float(count[one]),)) for one in STAGES),
            *(
                Sample(catalogue.DEATHS, (str(number),), (float(died),))
                for number, died in deaths.items()
            ),
        ]

    def totals(self) -> Totals:
        """Put together all that is known now."""
        with self._lock:
            totals = self._ended.copy()
            for page in self._pages:
                totals.add(_read(page.memory))
        for path in self._others:
            totals.add(read_file(path))
        totals.add(self._standing)
        return totals


def _read(memory: mmap.mmap) -> list[Sample]:
    """Read a page; one that its worker has not written yet, or spoilt, has nothing."""
    try:
        return list(read_page(memory))
    except PageUnreadable:
        return []


def _open_memory() -> int:
    """Make memory that has no name, so that nobody has to remove it."""
    if not hasattr(os, "memfd_create"):
        with tempfile.TemporaryFile() as file:
            file.truncate(PAGE_BYTES)
            return os.dup(file.fileno())
    descriptor = os.memfd_create("imageward-page", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, PAGE_BYTES)
    # One that was cut short would end its reader.
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    return descriptor


def open_file(path: Path) -> mmap.mmap | None:
    """Take a page in a file for this process; None while another process has it.

    The lock goes with the process, and with it what is shown.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    os.ftruncate(descriptor, 0)
    os.ftruncate(descriptor, PAGE_BYTES)
    # The descriptor stays open until the process ends, for the lock is its.
    return mmap.mmap(descriptor, PAGE_BYTES)


def read_file(path: Path) -> list[Sample]:
    """Read a page in a file, if a process keeps it now."""
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        if _is_kept(file.fileno()) and os.fstat(file.fileno()).st_size == PAGE_BYTES:
            with mmap.mmap(file.fileno(), PAGE_BYTES, prot=mmap.PROT_READ) as memory:
                return _read(memory)
    return []


def _is_kept(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False
