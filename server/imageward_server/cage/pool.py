"""The cells there are: leased for a job, forked anew by a thread, slowed down, reaped.

`cells` may work at full priority, and one more is kept as a spare, so that whoever comes
when one was lost finds another at once. A job that takes long, by what its image says or
by its time on a processor, moves to one of few slow places: its cell gets a low priority
and no longer counts, another takes its place, and it is not used again.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

import structlog

from imageward_server.cage.jail import ALL, Protection
from imageward_server.cage.link import CellLink
from imageward_server.cage.retirement import Retirement
from imageward_server.cage.zygote_process import Remains, ZygoteLost, ZygoteProcess
from imageward_server.errors import DeadlineExceeded, Loading, TooManyCostlyImages

log = structlog.get_logger(__name__)

JOBS_MAX: Final = 500
"""Images that a cell is given: then it is as large, and as trusted, as it may become."""

RESTART_S: Final = 1.0
"""Between attempts to start a zygote."""


DYING_S: Final = 0.005
"""Between looks whether a killed cell is gone."""


_STARTED_AGAIN: Final = "the decoder is being started again; ask again in a moment"


class Pool:
    """Keeps cells ready. Safe to use from many threads.

    Args:
        cells: jobs at full priority at once.
        slow: jobs at a low priority at once.
        start: starts a zygote.
    """

    def __init__(
        self, cells: int, slow: int, start: Callable[[], ZygoteProcess] = ZygoteProcess
    ) -> None:
        self._cells = cells
        self._start_zygote = start
        self._changed = threading.Condition()
        self._zygote: ZygoteProcess | None = None
        self._idle: list[CellLink] = []
        self._dying: list[CellLink] = []
        self._leased = 0
        self._slow_free = slow
        self._counts: Counter[Retirement] = Counter()
        self._memory_bytes_max = 0
        self._stopping = False
        self._failure: Exception | None = None
        self._told = False
        self._keeper = threading.Thread(target=self._keep, name="cage", daemon=True)

    @property
    def counts(self) -> dict[Retirement, int]:
        """How many cells were ended, by reason, since the start."""
        with self._changed:
            return {why: self._counts[why] for why in Retirement}

    @property
    def memory_bytes_max(self) -> int:
        """The most that a cell held, of those that were ended; pages it shares included."""
        return self._memory_bytes_max

    @property
    def idle_pids(self) -> list[int]:
        """The processes of the cells that wait for a job."""
        with self._changed:
            return [link.pid for link in self._idle]

    @property
    def zygote_pid(self) -> int | None:
        """The zygote's process; None while there is none."""
        zygote = self._zygote
        return None if zygote is None else zygote.pid

    def start(self) -> None:
        """Return when all cells are ready.

        Raises:
            OSError: they cannot be started; what the zygote said is on stderr.
        """
        self._keeper.start()
        with self._changed:
            self._changed.wait_for(lambda: self._failure or len(self._idle) > self._cells)
            failure = self._failure
        if failure is not None:
            self.close()
            raise OSError(f"the decoder's cage cannot be started: {failure}") from failure

    def close(self) -> None:
        """End all cells."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._keeper.join()

    def lease(self, until: float) -> CellLink:
        """Take a cell for one job, waiting for one until a time of `time.monotonic`.

        Raises:
            DeadlineExceeded: none was free until then.
            Loading: there are none.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._idle and self._leased < self._cells, until - time.monotonic()
            )
            if self._idle and self._leased < self._cells:
                self._leased += 1
                self._changed.notify_all()
                return self._idle.pop()
            if self._zygote is None:
                raise Loading(_STARTED_AGAIN)
        raise DeadlineExceeded("no decoder was free before the deadline; allow more time")

    def slow_down(self, link: CellLink) -> None:
        """Move a job to a slow place.

        Raises:
            TooManyCostlyImages: none is free. Nobody waits for one, as that would hold
                what others need.
        """
        with self._changed:
            if not self._slow_free:
                raise TooManyCostlyImages(
                    "this image takes long to decode, and so do as many as may at once; "
                    "send it again later, or a smaller copy"
                )
            self._slow_free -= 1
            self._leased -= 1
            link.slow_down()
            self._changed.notify_all()

    def give_back(self, link: CellLink) -> None:
        """Take back a cell that finished its job."""
        link.wipe()
        if link.slow:
            self.retire(link, Retirement.SLOW)
        elif link.jobs >= JOBS_MAX:
            self.retire(link, Retirement.WORN)
        else:
            with self._changed:
                self._leased -= 1
                self._idle.append(link)
                self._changed.notify_all()

    def retire(self, link: CellLink, why: Retirement) -> Retirement:
        """End a leased cell; returns why, which of one that died by itself the kernel knows.

        A cell that lives is killed at once, and reaped later: nobody waits for that.

        Raises:
            Loading: it died because the zygote did.
        """
        link.wipe()
        link.close()
        try:
            remains = self._reap(link)
            while why is Retirement.CRASHED and remains is None:
                time.sleep(DYING_S)
                remains = self._reap(link)
        except ZygoteLost as error:
            self._count(link, why, gone=True)
            if why is Retirement.CRASHED:
                raise Loading(_STARTED_AGAIN) from error
            return why
        if remains is not None and os.WTERMSIG(remains.status) == signal.SIGSYS:
            why = Retirement.ESCAPING
        self._count(link, why, gone=remains is not None)
        return why

    def _count(self, link: CellLink, why: Retirement, *, gone: bool) -> None:
        log.info("cell retired", reason=why.value, jobs=link.jobs)
        with self._changed:
            self._counts[why] += 1
            if gone:
                self._free(link)
            else:
                self._dying.append(link)
            self._changed.notify_all()

    def _free(self, link: CellLink) -> None:
        """Give the place of a cell that is gone to another. The lock is held."""
        self._slow_free += link.slow
        self._leased -= not link.slow

    def _reap(self, link: CellLink) -> Remains | None:
        """Kill a cell and see whether it is gone.

        Raises:
            ZygoteLost: it is, with its zygote.
        """
        try:
            remains = link.zygote.reap(link.pid)
        except ZygoteLost:
            self._lose(link.zygote)
            raise
        if remains is not None:
            self._memory_bytes_max = max(self._memory_bytes_max, remains.memory_bytes)
        return remains

    def _is_gone(self, link: CellLink) -> bool:
        try:
            return self._reap(link) is not None
        except ZygoteLost:
            return True

    def _reap_dying(self) -> None:
        with self._changed:
            dying = self._dying[:]
        gone = [link for link in dying if self._is_gone(link)]
        with self._changed:
            for link in gone:
                self._dying.remove(link)
                self._free(link)
            self._changed.notify_all()

    def _keep(self) -> None:
        """Keep as many cells as there should be, until the pool is closed."""
        while not self._stopping:
            try:
                if self._zygote is None:
                    self._zygote = self._start_zygote()
                self._reap_dying()
                self._fork()
            except (ZygoteLost, OSError) as error:
                log.error("the decoder's cage cannot be kept", error=str(error))  # noqa: TRY400 there is no traceback of use
                if self._zygote is not None:
                    self._lose(self._zygote)
                with self._changed:
                    self._failure = error
                    self._changed.notify_all()
                    self._changed.wait_for(lambda: self._stopping, RESTART_S)
        self._end()

    def _fork(self) -> None:
        """Fork a cell if one is missing; wait until it is, or there is another thing to do."""
        with self._changed:
            if self._dying:
                self._changed.wait_for(self._is_awaited, DYING_S)
            else:
                self._changed.wait_for(lambda: self._is_awaited() or self._dying)
            zygote = self._zygote
            if self._stopping or zygote is None or not self._missing:
                return
        link, held = zygote.fork()
        self._warn(held)
        with self._changed:
            self._failure = None
            self._idle.append(link)
            self._changed.notify_all()

    def _is_awaited(self) -> bool:
        return self._stopping or self._zygote is None or self._missing

    @property
    def _missing(self) -> bool:
        return self._leased + len(self._idle) <= self._cells

    def _lose(self, zygote: ZygoteProcess) -> None:
        """Forget a zygote that does not answer, and the cells that ended with it."""
        with self._changed:
            if self._zygote is not zygote:
                return
            self._zygote = None
            lost, self._idle = self._idle, []
            self._changed.notify_all()
        zygote.close()
        for link in lost:
            link.close()

    def _end(self) -> None:
        with self._changed:
            idle, self._idle = self._idle, []
            zygote, self._zygote = self._zygote, None
        if zygote is not None:
            zygote.close()
        for link in idle:
            link.close()

    def _warn(self, held: Protection) -> None:
        """Say once, loudly, what does not hold."""
        missing = ALL & ~held
        if missing and not self._told:
            log.warning(
                "THE DECODER'S CAGE IS NOT WHOLE: hostile images are decoded with less than "
                "full protection; run on Linux, and allow seccomp",
                missing=[one.name for one in Protection if one in missing],
            )
        self._told = True
