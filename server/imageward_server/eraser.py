"""Erases what is withdrawn: from the store, its log, every segment, and every backup.

Of all processes that serve a data folder one does it, the one that writes the segments:

1. the codes of entries that are due are overwritten in the store;
2. their keys are destroyed, and with them every copy of the store, of any age;
3. segments that have anything of them, dead or alive, are written anew, and the keys of
   those before are destroyed;
4. the database's log is emptied, and the entries are crossed off.

What is cut off is done again from the start, which changes nothing that is done.
"""

from __future__ import annotations

import threading

import structlog

from imageward_server.replica import Replica
from imageward_server.store import Store

log = structlog.get_logger(__name__)

# Entries that are erased at a time.
ENTRIES_PER_ROUND = 4096
# How often a round that waits for segments looks whether it should end.
_LOOK_S = 0.2


class Eraser:
    """Goes its rounds in a thread, from `start` to `stop`.

    Args:
        store: what says which entries are due.
        replica: what writes the segments, if this process does.
        every_s: seconds between two rounds.
    """

    def __init__(self, store: Store, replica: Replica, every_s: float) -> None:
        self._store = store
        self._replica = replica
        self._every_s = every_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="eraser", daemon=True)

    def start(self) -> None:
        """Begin, with a round at once; the replica must be followed."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread, in the middle of a round if there is one."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def round(self) -> int:
        """Erase what is due; return how many entries."""
        due = self._store.due_erasures(ENTRIES_PER_ROUND) if self._replica.seals() else []
        if not due:
            return 0
        self._store.erase(due)
        if not self._wait_for(self._replica.erase(due)) or not self._store.finish_erasures(due):
            return 0
        log.info("erased", entries=len(due))
        return len(due)

    def _wait_for(self, segments: tuple[threading.Event, ...]) -> bool:
        """Wait until all segments are written anew; return whether they are."""
        while not all(done.is_set() for done in segments):
            if self._stopping.wait(_LOOK_S):
                return False
        return True

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                erased = self.round()
            except Exception:
                # The next round tries again; an eraser that ended would erase nothing more.
                log.exception("not erased")
                erased = 0
            if erased < ENTRIES_PER_ROUND:
                self._stopping.wait(self._every_s)
