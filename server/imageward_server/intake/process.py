"""The intake's own process: the pages, and the job in a thread beside them.

It shares the store and the quarantine with the gRPC server and no memory. Every server
finds what is banked here by the feed, as it finds any other change.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from pathlib import Path

import structlog
import uvicorn

from imageward_server.access import Access
from imageward_server.app import open_store
from imageward_server.cage.cage import Cage
from imageward_server.config import Config, InvalidConfig
from imageward_server.intake.clock import SteadyClock
from imageward_server.intake.intake import Intake
from imageward_server.intake.mail import SmtpSender, send_due
from imageward_server.intake.metrics import Metrics
from imageward_server.intake.opening import open_intake
from imageward_server.intake.steward import Steward
from imageward_server.intake.web.pages import make_pages
from imageward_server.reload import reloaded

log = structlog.get_logger(__name__)

# Decoding a picture takes much memory, and few persons upload in the same second.
_PICTURES_AT_ONCE = 2
_SLOW_PICTURES_AT_ONCE = 1
_SHUTDOWN_S = 10
# A wall clock that is off by more than this is told to the operator.
_DRIFT_S_MAX = 60.0


def run(config: Config, reread: Callable[[], Config]) -> None:
    """Serve the pages until SIGTERM or Ctrl-C; SIGHUP reads who may sign in again.

    Args:
        config: the configuration.
        reread: reads it again; raises InvalidConfig.

    Raises:
        InvalidConfig: no intake is configured, or it cannot be used.
        OSError: the store or a port cannot be opened.
    """
    # For every thread to come: one of them waits for it.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
    clock = SteadyClock()
    store = open_store(config, clock)
    cage = Cage(_PICTURES_AT_ONCE, _SLOW_PICTURES_AT_ONCE)
    intake = open_intake(config, store, cage, clock)
    if intake is None:
        raise InvalidConfig("no intake is configured; name its file with --intake-config")
    cage.start()
    job = Job(intake, clock, config.data_dir)
    job.start()
    access = Access(config.access_rules)
    threading.Thread(target=_reload, args=(config, reread, access), daemon=True).start()
    print(f"imageward-server intake on {intake.settings.listen}", flush=True)  # noqa: T201 - what a person and a supervisor wait for
    try:
        web_server(intake, access).run()
    finally:
        job.stop()
        cage.close()
        store.close()


def _reload(config: Config, reread: Callable[[], Config], access: Access) -> None:
    """Read the configuration again whenever SIGHUP comes."""
    while True:
        signal.sigwait([signal.SIGHUP])
        try:
            config = reloaded(config, reread())
        except InvalidConfig as error:
            log.error("configuration not taken; the one before stays in force", error=str(error))  # noqa: TRY400 - the error says all
            continue
        access.replace(config.access_rules)
        log.info("access replaced", credentials=len(config.credentials))


def web_server(intake: Intake, access: Access) -> uvicorn.Server:
    """Make the HTTP server of the pages, for those who may sign in."""
    host, _, port = intake.settings.listen.rpartition(":")
    return uvicorn.Server(
        uvicorn.Config(
            make_pages(intake, access),
            host=host.strip("[]"),
            port=int(port),
            lifespan="off",
            # Its lines hold paths, and a path may hold a link.
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=_SHUTDOWN_S,
        )
    )


class Job:
    """The steward's rounds in a thread.

    Args:
        intake: what it looks after.
        clock: the intake's own.
        data_dir: where its metrics are shown.
    """

    def __init__(self, intake: Intake, clock: SteadyClock, data_dir: Path) -> None:
        self._clock = clock
        self._tick_s = intake.settings.tick_s
        sender = SmtpSender(intake.settings)
        self._steward = Steward(intake, lambda: send_due(intake, sender))
        clock.not_before(self._steward.seen_s())
        self._metrics = Metrics(data_dir)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._go_rounds, name="steward", daemon=True)

    def start(self) -> None:
        """Go the first round now, and others from then on."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the round that runs."""
        self._stopping.set()
        self._thread.join()

    def _go_rounds(self) -> None:
        while True:
            try:
                standing = self._steward.round()
                drift_s = self._clock.drift_s()
                self._metrics.show(standing, drift_s, self._clock())
                if abs(drift_s) > _DRIFT_S_MAX:
                    log.error("wall clock was set; the intake goes on by its own", drift_s=drift_s)
            except Exception:
                # A job that ended would break the promise of seven days, unnoticed.
                log.exception("round failed")
            if self._stopping.wait(self._tick_s):
                return
