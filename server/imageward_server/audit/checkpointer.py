"""Signs the audit when nothing is written any more: its last rows shall not stay unsigned."""

from __future__ import annotations

import threading
from typing import Final

import structlog

from imageward_server.store import Store

log = structlog.get_logger(__name__)

_PERIOD_S: Final = 60.0


class Checkpointer:
    """Asks a store now and then to sign its audit, in a thread.

    Args:
        store: whose audit it is.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="checkpointer", daemon=True)

    def start(self) -> None:
        """Ask from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Ask no more."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(_PERIOD_S):
            try:
                self._store.check_point()
            except Exception:
                # Whatever it was, changes meet it too and are refused; the next minute
                # tries again.
                log.exception("audit not signed")
