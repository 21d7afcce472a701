"""The process that starts workers, replaces those that die, and stops them all.

It knows no gRPC, no store and no index, so that nothing a call does can end it.

1. start: the first worker upgrades the store and reads it, then the others read it, mapping
   what the first has sealed; once all have, all serve
2. run: pass on that the store has changed; replace what dies, later each time
3. restart (SIGUSR2): for each worker start a successor, and stop it when that one serves
4. reload (SIGHUP): read the configuration again, and tell all workers who may call now
5. stop (SIGTERM): ask all to drain, and wait
"""

from __future__ import annotations

import os
import selectors
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import structlog

from imageward_server.config import InvalidConfig
from imageward_server.processes.roster import Roster, WorkerLine
from imageward_server.processes.worker_link import CHANGED, LOADED, SERVING, Orders
from imageward_server.processes.worker_process import Stage, WorkerProcess
from imageward_server.reload import RELOADABLE, reloaded, waiting
from imageward_server.sight.ledger import Ledger
from imageward_server.worker_place import BACKOFF_MAX_S, Place

if TYPE_CHECKING:
    from imageward_server.config import Config

log = structlog.get_logger(__name__)

EXIT_FAILED = 1
# So many deaths in a row before one serves, while no other does, and nothing will help.
FAILURES_MAX = 4
# What a worker may take beyond its notice and grace, to close what is open.
CLOSE_S_MAX = 10.0
# How often a supervisor that takes over looks whether the one before is gone.
ROSTER_WAIT_S = 0.2

# How often words are offered again to a worker that does not read.
TELL_WAIT_S = 0.05

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
RELOAD_SIGNAL = signal.SIGHUP
RESTART_SIGNAL = signal.SIGUSR2


class Supervisor:
    """Keeps as many workers serving as the configuration says.

    Args:
        config: the configuration of every worker, with the port that is reserved.
        roster: where it writes what its workers do.
        on_serving: called once all workers serve for the first time.
        reread: reads the configuration again; raises InvalidConfig.
        ledger: where the workers' counts go; None where nobody looks.
    """

    def __init__(
        self,
        config: Config,
        roster: Roster,
        on_serving: Callable[[], None],
        reread: Callable[[], Config],
        ledger: Ledger | None = None,
    ) -> None:
        self._config = config
        self._reread = reread
        self._roster = roster
        self._on_serving = on_serving
        self._ledger = ledger
        self._drain_s_max = config.notice_s + config.grace_s + CLOSE_S_MAX
        self._places = [Place(number) for number in range(1, config.workers + 1)]
        self._leaving: set[WorkerProcess] = set()
        self._to_restart: deque[Place] = deque()
        self._started = False
        self._stopping = False
        self._exit_code = 0
        self._selector = selectors.DefaultSelector()

    def run(self) -> int:
        """Supervise until told to stop; return the exit code."""
        wake = self._catch_signals()
        for place in self._places:
            place.worker = self._start_worker(place)
        self._to_load(self._places[:1])
        while self._everybody() or not self._stopping:
            for key, _ in self._selector.select(self._patience_s()):
                if key.fileobj == wake:
                    self._handle_signals(os.read(wake, 4096))
                else:
                    self._hear(key.data)
            self._bury()
            self._do_what_is_due()
            self._tell()
        log.info("stopped")
        return self._exit_code

    def _catch_signals(self) -> int:
        """Turn signals into bytes on a pipe, which the loop waits for; return its end."""
        wake, told = os.pipe()
        os.set_blocking(told, False)
        signal.set_wakeup_fd(told, warn_on_full_buffer=False)
        for number in (*STOP_SIGNALS, RESTART_SIGNAL, signal.SIGCHLD):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as a script's `&` sets SIGINT
                signal.signal(number, lambda *_: None)
        # Which nohup ignores to let a process stay, and which does not end this one.
        signal.signal(RELOAD_SIGNAL, lambda *_: None)
        self._selector.register(wake, selectors.EVENT_READ)
        return wake

    def _handle_signals(self, numbers: bytes) -> None:
        for number in numbers:
            if number in STOP_SIGNALS:
                self._stop()
            elif number == RELOAD_SIGNAL:
                self._reload()
            elif number == RESTART_SIGNAL:
                self._begin_restart()

    def _reload(self) -> None:
        try:
            fresh = self._reread()
            self._config, later = reloaded(self._config, fresh), waiting(self._config, fresh)
        except InvalidConfig as error:
            log.error("configuration not taken; the one before stays in force", error=str(error))  # noqa: TRY400 - the error says all
            return
        log.info("configuration taken", wait_for_restart=later)
        settings = self._config.model_dump(mode="json", include=set(RELOADABLE))
        for worker in self._everybody():
            worker.reload(settings)

    def _hear(self, worker: WorkerProcess) -> None:
        changed = False
        for word in worker.words():
            if word == LOADED:
                self._on_loaded(worker)
            elif word == SERVING:
                self._on_worker_serving(worker)
            changed |= word == CHANGED
        if changed:
            for other in self._everybody():
                if other is not worker:
                    other.look()

    def _on_loaded(self, worker: WorkerProcess) -> None:
        worker.enter(Stage.LOADED)
        if self._started:
            worker.go()
            return
        if worker is self._places[0].worker:
            self._to_load(self._places[1:])
        if all(one.stage is Stage.LOADED for one in self._everybody()):
            for one in self._everybody():
                one.go()

    def _on_worker_serving(self, worker: WorkerProcess) -> None:
        if worker.stage is not Stage.DRAINING:
            worker.enter(Stage.SERVING)
        place = self._place_of(worker)
        if worker is place.successor:
            self._succeed(place)
        elif not self._started and all(
            one.worker and one.worker.stage is Stage.SERVING for one in self._places
        ):
            self._started = True
            self._on_serving()

    def _bury(self) -> None:
        """Take note of the workers that have ended."""
        for worker in self._everybody():
            code = worker.exit_code()
            if code is not None:
                self._hear(worker)  # what it said last
                self._selector.unregister(worker.output)
                worker.close()
                if self._ledger and worker.page:
                    self._ledger.close(worker.page)
                self._on_end(worker, code)

    def _on_end(self, worker: WorkerProcess, code: int) -> None:
        place = self._place_of(worker)
        if worker in self._leaving:
            self._leaving.remove(worker)
            if code:
                log.warning("worker did not drain", worker=worker.number, exit_code=code)
        elif worker is place.successor:
            place.successor = None
            self._to_restart.clear()
            log.error("restart given up: the successor died", worker=worker.number, exit_code=code)
            if place.worker is None:  # it has died meanwhile, and the successor was to follow
                place.due_s = time.monotonic()
        elif self._stopping:
            place.worker = None
            if code not in (0, -signal.SIGTERM):  # which ends those that only load
                self._exit_code = EXIT_FAILED
        else:
            self._on_death(place, worker, code)
        self._continue_restart()

    def _on_death(self, place: Place, worker: WorkerProcess, code: int) -> None:
        after_s = place.died(worker)
        log.error(
            "worker died",
            worker=worker.number,
            pid=worker.pid,
            exit_code=code,
            deaths=place.deaths,
            replaced_in_s=None if place.successor else round(after_s, 3),
        )
        hopeless = place.failures >= FAILURES_MAX and not any(
            one.stage is Stage.SERVING for one in self._everybody()
        )
        if not self._started or hopeless:
            self._fail(f"worker {worker.number} ended with {code} before it served")

    def _fail(self, why: str) -> None:
        print(f"imageward-server: {why}", file=sys.stderr)  # noqa: T201 - a command's last words
        self._exit_code = EXIT_FAILED
        self._stop()

    def _stop(self) -> None:
        if not self._stopping:
            log.info("draining", workers=len(self._everybody()))
        self._stopping = True
        self._to_restart.clear()
        for worker in self._everybody():
            worker.drain(self._drain_s_max)

    def _begin_restart(self) -> None:
        if self._started and not self._stopping and not self._to_restart:
            log.info("restarting", workers=len(self._places))
            self._to_restart.extend(self._places)
            self._continue_restart()

    def _continue_restart(self) -> None:
        """Start the next successor, unless the one before is not in its place yet."""
        busy = self._leaving or any(place.successor for place in self._places)
        if self._to_restart and not busy:
            place = self._to_restart.popleft()
            place.due_s = None
            place.successor = self._start_worker(place)
            place.successor.load()

    def _succeed(self, place: Place) -> None:
        """Give a place to the successor, who serves, and let the one before drain."""
        before, place.worker, place.successor = place.worker, place.successor, None
        place.due_s = None
        if before is not None:
            self._leaving.add(before)
            before.drain(self._drain_s_max)

    def _do_what_is_due(self) -> None:
        for worker in self._everybody():
            worker.flush()
            if worker.kill_if_overdue():
                self._exit_code = EXIT_FAILED
                log.error("worker overdue, killed", worker=worker.number, pid=worker.pid)
        for place in self._places:
            if place.due_s is not None and time.monotonic() >= place.due_s and not self._stopping:
                self._fill(place)

    def _patience_s(self) -> float | None:
        """Say how long nothing is due."""
        dues = [place.due_s for place in self._places if not self._stopping]
        dues += [time.monotonic() + ROSTER_WAIT_S] if self._roster.is_behind else []
        if any(worker.is_behind for worker in self._everybody()):
            dues += [time.monotonic() + TELL_WAIT_S]
        dues += [worker.kill_due_s for worker in self._everybody()]
        known = [due_s for due_s in dues if due_s is not None]
        return max(min(known) - time.monotonic(), 0) if known else None

    def _fill(self, place: Place) -> None:
        place.due_s = None
        if place.successor is not None:
            return
        try:
            place.worker = self._start_worker(place)
        except OSError as error:  # no memory or no process to be had: the others go on
            place.due_s = time.monotonic() + BACKOFF_MAX_S
            log.error("worker not started", worker=place.number, error=str(error))  # noqa: TRY400 - the error says all
        else:
            place.worker.load()

    def _to_load(self, places: Iterable[Place]) -> None:
        for place in places:
            if place.worker is not None:
                place.worker.load()

    def _start_worker(self, place: Place) -> WorkerProcess:
        page = self._ledger.open() if self._ledger else None
        orders = Orders(
            place.number, self._config.model_dump(mode="json"), page.descriptor if page else None
        )
        try:
            worker = WorkerProcess(orders, page)
        except OSError:
            if self._ledger and page:
                self._ledger.close(page)
            raise
        finally:
            if page:
                page.handed_over()
        self._selector.register(worker.output, selectors.EVENT_READ, worker)
        return worker

    def _place_of(self, worker: WorkerProcess) -> Place:
        return self._places[worker.number - 1]

    def _everybody(self) -> list[WorkerProcess]:
        """List the workers that run, or have ended and are not buried yet."""
        held: Iterable[WorkerProcess | None] = (
            worker for place in self._places for worker in (place.worker, place.successor)
        )
        return [worker for worker in (*held, *self._leaving) if worker is not None]

    def _tell(self) -> None:
        """Tell the roster and the ledger how the workers stand."""
        lines = self._lines()
        self._roster.write(lines)
        if self._ledger:
            deaths = {place.number: place.deaths for place in self._places}
            self._ledger.note((line.stage for line in lines), deaths)

    def _lines(self) -> list[WorkerLine]:
        return [
            WorkerLine(
                worker=worker.number,
                pid=worker.pid,
                stage=worker.stage.value,
                deaths=self._place_of(worker).deaths,
            )
            for worker in self._everybody()
        ]
