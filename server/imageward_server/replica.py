"""This process's copy of the store: the index and the banks, at one revision.

The store is the truth; the replica follows its feed. A change is applied to the
index first and its revision published last, so a check that reads revision r
searches an index that has every change up to r.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import structlog

from imageward_index.index import Index
from imageward_index.policy import BankSet
from imageward_server.errors import RevisionNotReached
from imageward_server.store import FeedPage, Store

log = structlog.get_logger(__name__)

Progress = Callable[[int, int], None]


class Replica:
    """Follows a store. Safe under concurrent use.

    Args:
        store: what is followed.
        poll_s: how often changes by other processes are looked for, in seconds.
    """

    def __init__(self, store: Store, poll_s: float) -> None:
        self.index = Index()
        self._store = store
        self._poll_s = poll_s
        self._banks = BankSet()
        self._revision = 0
        self._applying = threading.Lock()
        self._advanced = threading.Condition()
        self._stopping = threading.Event()
        self._follower = threading.Thread(target=self._follow, name="replica", daemon=True)

    @property
    def revision(self) -> int:
        """The last change that every search sees."""
        return self._revision

    @property
    def banks(self) -> BankSet:
        """The banks, as of `revision` or later."""
        return self._banks

    def load(self, report: Progress) -> None:
        """Read the whole store, then follow it.

        Args:
            report: told the entries read so far and in all, now and then.
        """
        with self._applying, self._store.snapshot() as snapshot:
            report(0, snapshot.active_count)
            for ids, codes in snapshot.blocks:
                self.index.add(ids, codes)
                report(len(self.index), snapshot.active_count)
            self._banks = BankSet(snapshot.banks)
            self._publish(snapshot.revision)
        self._follower.start()

    def stop(self) -> None:
        """Stop following."""
        self._stopping.set()
        if self._follower.is_alive():
            self._follower.join()

    def catch_up(self) -> None:
        """Apply every change that is in the store by now."""
        with self._applying:
            while page := self._store.changes_after(self._revision):
                self._apply(page)

    def wait_for(self, revision: int, timeout_s: float) -> None:
        """Return once searches see this revision.

        Raises:
            RevisionNotReached: it did not come within the time.
        """
        deadline = time.monotonic() + timeout_s
        with self._advanced:
            while self._revision < revision:
                if not self._advanced.wait(deadline - time.monotonic()):
                    raise RevisionNotReached(
                        f"revision {revision} was asked for and {self._revision} is the last; "
                        "ask again later, or for a lower minimum revision",
                        revision=self._revision,
                        minimum_revision=revision,
                    )

    def _apply(self, page: FeedPage) -> None:
        states = page.entries
        unknown = ~self.index.contains(states.active_ids)
        self.index.add(states.active_ids[unknown], states.active_codes[unknown])
        self.index.withdraw(states.withdrawn_ids)
        if page.banks is not None:
            self._banks = BankSet(page.banks)
        self._publish(page.revision)

    def _publish(self, revision: int) -> None:
        with self._advanced:
            self._revision = revision
            self._advanced.notify_all()

    def _follow(self) -> None:
        while not self._stopping.wait(self._poll_s):
            try:
                if self._store.revision() > self._revision:
                    self.catch_up()
            except Exception:
                # Checks go on from memory; the next round tries again. Whatever it was:
                # a follower that ended would leave them behind for ever, unnoticed.
                log.exception("feed not readable")
