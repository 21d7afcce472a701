"""What a worker is asked for once a second: how its index, queue and cage stand."""

from __future__ import annotations

import resource
import threading
import time
from pathlib import Path
from typing import Final

import structlog

from imageward_index.index import Index
from imageward_server.admission import Gate
from imageward_server.cage.cage import Cage
from imageward_server.hasher import Hasher
from imageward_server.replica import Replica
from imageward_server.sight import catalogue
from imageward_server.sight.catalogue import Family
from imageward_server.sight.meters import INDEXES, PageMeters

log = structlog.get_logger(__name__)

PERIOD_S: Final = 1.0

_STATM: Final = Path("/proc/self/statm")


class Sampler:
    """Takes samples in a thread.

    Args:
        meters: where they go.
        replica: the indexes, and how far they are.
        gate: the queue.
        hasher: the cage, if it is one.
    """

    def __init__(self, meters: PageMeters, replica: Replica, gate: Gate, hasher: Hasher) -> None:
        self._page = meters.page
        self._worker = meters.worker
        self._replica = replica
        self._gate = gate
        self._pool = hasher.pool if isinstance(hasher, Cage) else None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)

    def start(self) -> None:
        """Take the first samples now, and more from then on."""
        self.sample()
        self._thread.start()

    def stop(self) -> None:
        """Take no more."""
        self._stopping.set()
        self._thread.join()

    def sample(self) -> None:
        """Take all once."""
        replica = self._replica
        self._put(catalogue.REVISION, replica.revision)
        self._put(catalogue.FEED_LAG, replica.current_at)
        self._put(catalogue.INDEX_AGE, replica.changed_at)
        for name, index in zip(INDEXES, (replica.hashes, replica.codes), strict=True):
            self._sample_index(name, index)
        self._put(catalogue.WAITING, self._gate.waiting)
        self._put(catalogue.CPU, time.process_time())
        self._put(catalogue.MEMORY, _resident_bytes())
        if self._pool is not None:
            self._put(catalogue.CELL_MEMORY, self._pool.memory_bytes_max)
            for why, count in self._pool.counts.items():
                self._page.put(self._page.place(catalogue.RETIREMENTS, why.value), count)

    def _sample_index(self, name: str, index: Index) -> None:
        view = index.view
        self._put(catalogue.INDEX_CODES, sum(map(len, view.parts)), name)
        self._put(catalogue.INDEX_SEGMENTS, len(view.segments), name)
        self._put(catalogue.TAIL_CODES, sum(map(len, (*view.frozen, view.tail))), name)

    def _put(self, family: Family, number: float, *labels: str) -> None:
        self._page.put(self._page.place(family, self._worker, *labels), number)

    def _run(self) -> None:
        while not self._stopping.wait(PERIOD_S):
            try:
                self.sample()
            except Exception:
                # Numbers that stand still would pass for numbers that do not change.
                log.exception("samples not taken")


def _resident_bytes() -> int:
    """Say how much memory this process holds, where the system tells; else the most it held."""
    if _STATM.exists():
        return int(_STATM.read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
