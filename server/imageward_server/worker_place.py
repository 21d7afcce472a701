"""One of the workers that there should be: who holds the place, and when it is filled again."""

from __future__ import annotations

import time

from imageward_server.processes.worker_process import Stage, WorkerProcess

# A worker that dies is replaced after so long, twice as long each time, up to the maximum.
BACKOFF_FIRST_S = 0.1
BACKOFF_MAX_S = 30.0
# Who has served this long died of something new.
STEADY_S = 60.0


class Place:
    """One of the workers that there should be, whoever holds it now.

    Attributes:
        worker: who holds it; None while nobody does.
        successor: who will, once it serves.
        deaths: how many died in it.
        failures: how many died in a row without having served for long.
        due_s: when it is to be filled again; None when it need not be.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.worker: WorkerProcess | None = None
        self.successor: WorkerProcess | None = None
        self.deaths = 0
        self.failures = 0
        self.due_s: float | None = None

    def died(self, worker: WorkerProcess) -> float:
        """Note a death; return the seconds after which it is to be filled again."""
        served_long = worker.stage is Stage.SERVING and worker.in_stage_s() >= STEADY_S
        self.worker = None
        self.deaths += 1
        self.failures = 1 if served_long else self.failures + 1
        delay_s = min(BACKOFF_FIRST_S * 2.0 ** (self.failures - 1), BACKOFF_MAX_S)
        self.due_s = time.monotonic() + delay_s
        return delay_s
