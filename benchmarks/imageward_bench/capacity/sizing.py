"""What so many uploads a second need, from what was measured at the limit."""

from __future__ import annotations

import math
from dataclasses import dataclass

from imageward_bench.load.figures import Figures

UPLOADS_PER_S = (10, 100, 1_000, 10_000)
# A server that runs at its limit has nothing left for a peak or a failed neighbour.
PLANNED_SHARE = 0.7
# Of each banked image: 248 regional codes in mapped files, measured at a million images,
# and the fingerprint that verifies them, at its longest (ARCHITECTURE, "Beyond one machine").
CODES_BYTES_PER_IMAGE = 8_000
FINGERPRINT_BYTES_PER_IMAGE = 3_600


@dataclass(frozen=True, slots=True)
class Need:
    """Processor cores and bytes of memory, on one machine."""

    cores: int
    memory_bytes: float


def per_core(figures: Figures) -> float | None:
    """Return calls a second for each core that the server used; None where that is not known."""
    cores = figures.server.cpu_cores
    return figures.goodput_per_s / cores if cores else None


def need(uploads_per_s: float, figures: Figures) -> Need | None:
    """Return what a rate of uploads needs; None where the server's use is not known.

    Mapped files are held once a machine, everything else once a process, and there is
    a process a core.
    """
    server, each = figures.server, per_core(figures)
    if each is None or server.memory_bytes is None or not server.processes:
        return None
    assert server.own_bytes is not None
    cores = math.ceil(uploads_per_s / (each * PLANNED_SHARE))
    shared = server.memory_bytes - server.own_bytes
    own = server.own_bytes / server.processes
    return Need(cores, shared + own * max(cores, server.processes))


def regional_bytes(images: int) -> int:
    """Return what the regional codes of so many banked images take at most besides hashes."""
    return images * (CODES_BYTES_PER_IMAGE + FINGERPRINT_BYTES_PER_IMAGE)
