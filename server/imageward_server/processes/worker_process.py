"""A worker as its supervisor sees it: a process, its two pipes, and how far it is."""

from __future__ import annotations

import contextlib
import enum
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

from imageward_server.processes.worker_link import GO, LOAD, LOOK, RELOAD, Orders
from imageward_server.sight.ledger import WorkerPage

READ_BYTES = 4096
# By default glibc gives the threads of a worker up to eight heaps a core, and what each has
# once needed stays with it: a fifth of a worker's memory. The interpreter's lock lets
# hardly two of them allocate at once. Who sets it otherwise keeps that.
_MALLOC = {"MALLOC_ARENA_MAX": "2"}


class Stage(enum.Enum):
    """How far a worker is."""

    LOADING = "loading"
    LOADED = "loaded"
    SERVING = "serving"
    DRAINING = "draining"


class WorkerProcess:
    """Starts one worker and speaks with it; never waits.

    Args:
        orders: what it is told first.
        page: memory that it counts into; None where nobody looks.
    """

    def __init__(self, orders: Orders, page: WorkerPage | None = None) -> None:
        self.number = orders.number
        self.page = page
        self.stage = Stage.LOADING
        self.stage_since_s = time.monotonic()
        self.kill_due_s: float | None = None
        self._process = subprocess.Popen(
            [sys.executable, "-m", "imageward_server.processes.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            # Ctrl-C is the supervisor's alone: it tells its workers.
            process_group=0,
            pass_fds=() if orders.page is None else (orders.page,),
            env=_MALLOC | os.environ,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._words = b""
        self._unsent = b""
        self._input, self.output = self._process.stdin, self._process.stdout
        os.set_blocking(self._input.fileno(), False)
        os.set_blocking(self.output.fileno(), False)
        self._tell(orders.line())

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def enter(self, stage: Stage) -> None:
        """Note how far it is."""
        self.stage, self.stage_since_s = stage, time.monotonic()

    def in_stage_s(self) -> float:
        """Seconds since it came to its stage."""
        return time.monotonic() - self.stage_since_s

    def load(self) -> None:
        """Let it open and read the store."""
        self._tell(LOAD + b"\n")

    def go(self) -> None:
        """Let it serve."""
        self._tell(GO + b"\n")

    def look(self) -> None:
        """Tell it that the store has changed, which only saves it the wait for its next poll."""
        if not self._unsent:
            self._tell(LOOK + b"\n")

    def reload(self, settings: dict[str, Any]) -> None:
        """Give it settings that it takes from now on.

        Args:
            settings: by name, as JSON can hold them.
        """
        self._tell(RELOAD + b" " + json.dumps(settings).encode() + b"\n")

    @property
    def is_behind(self) -> bool:
        """Whether it has not read all that it was told; `flush` tells it on."""
        return bool(self._unsent)

    def drain(self, within_s: float) -> None:
        """Ask it to end; a second time, to hurry.

        Args:
            within_s: seconds after which it is overdue.
        """
        if self.kill_due_s is None:
            self.kill_due_s = time.monotonic() + within_s
        self.enter(Stage.DRAINING)
        self._process.send_signal(signal.SIGTERM)

    def kill_if_overdue(self) -> bool:
        """Kill it if it had to be gone by now; return whether that was so."""
        if self.kill_due_s is None or time.monotonic() < self.kill_due_s:
            return False
        self.kill_due_s = None
        self._process.kill()
        return True

    def words(self) -> Iterator[bytes]:
        """Read what it has said by now."""
        with contextlib.suppress(BlockingIOError):
            while said := os.read(self.output.fileno(), READ_BYTES):
                *whole, self._words = (self._words + said).split(b"\n")
                yield from whole

    def exit_code(self) -> int | None:
        """Return how it ended, negative for a signal, or None while it runs."""
        return self._process.poll()

    def close(self) -> None:
        """Close the pipes of a worker that has ended."""
        self._input.close()
        self.output.close()

    def flush(self) -> None:
        """Tell it what it could not be told before."""
        self._tell(b"")

    def _tell(self, line: bytes) -> None:
        self._unsent += line
        try:
            while self._unsent:
                self._unsent = self._unsent[os.write(self._input.fileno(), self._unsent) :]
        except BlockingIOError:
            pass  # it reads nothing now; what is left is told later
        except BrokenPipeError:
            self._unsent = b""  # it is gone, which is noticed by its end
