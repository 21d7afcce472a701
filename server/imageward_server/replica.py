"""This process's copy of the store: the index and the banks, at one revision.

The store is the truth; the replica follows its feed. A change is applied to the
index first and its revision published last, so a check that reads revision r
searches an index that has every change up to r.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import structlog

from imageward_index.block import Block
from imageward_index.errors import SegmentUnusable
from imageward_index.index import Index
from imageward_index.manifest import Origin
from imageward_index.pdq import HASHER_VERSION
from imageward_index.policy import BankSet
from imageward_index.sealer import Sealer
from imageward_index.warm_up import warm_up
from imageward_server.errors import RevisionNotReached
from imageward_server.store import FeedPage, Store

log = structlog.get_logger(__name__)

# Told what is being done, how much of it is done, and of how much.
Progress = Callable[[str, int, int], None]
SEALER_PERIOD_S = 0.2


class Replica:
    """Follows a store. Safe under concurrent use.

    Args:
        store: what is followed.
        segments: folder of the index's sealed segments.
        poll_s: how often changes by other processes are looked for, in seconds.
    """

    def __init__(self, store: Store, segments: Path, poll_s: float) -> None:
        self.index = Index()
        self._store = store
        self._poll_s = poll_s
        origin = Origin(store.store_id(), HASHER_VERSION, self.index.width_bits)
        self.sealer = Sealer(self.index, segments, origin)
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
        """Map the segments and replay what is newer, or read the whole store.

        Args:
            report: told what is done, now and then.
        """
        report("compiling the search", 0, 1)
        warm_up()
        report("compiling the search", 1, 1)
        with self._applying:
            if self._open_segments():
                self._replay(report)
            else:
                self._build(report)

    def follow(self) -> None:
        """Follow the store from now on, and seal and merge segments, in threads."""
        self._follower.start()
        self.sealer.start(SEALER_PERIOD_S, _report_sealing)

    def stop(self) -> None:
        """Stop following."""
        self._stopping.set()
        if self._follower.is_alive():
            self._follower.join()
        self.sealer.close()

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

    def _open_segments(self) -> bool:
        """Map the segments; a folder that cannot be used is as good as none."""
        try:
            return self.sealer.open(revision_max=self._store.revision())
        except SegmentUnusable as error:
            log.warning(
                "segments not usable, reading the store instead",
                error=str(error),
                path=str(error.path),
                hint=error.hint,
            )
            return False

    def _replay(self, report: Progress) -> None:
        first, last = self.index.revision, self._store.revision()
        self._banks = BankSet(record.bank for record in self._store.all_banks())
        self._publish(first)
        report("replaying changes", 0, last - first)
        while page := self._store.changes_after(self._revision):
            self._apply(page)
            report("replaying changes", min(page.revision, last) - first, last - first)

    def _build(self, report: Progress) -> None:
        with self._store.snapshot() as snapshot:
            blocks = _reported(snapshot.blocks, snapshot.active_count, report)
            self.sealer.build(blocks, snapshot.revision)
            self._banks = BankSet(snapshot.banks)
            self._publish(snapshot.revision)

    def _apply(self, page: FeedPage) -> None:
        states = page.entries
        unknown = ~self.index.contains(states.active_ids)
        self.index.add(states.active_ids[unknown], states.active_codes[unknown])
        self.index.withdraw(states.withdrawn_ids)
        self.index.applied(page.revision)
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


def _reported(blocks: Iterator[Block], in_all: int, report: Progress) -> Iterator[Block]:
    """Pass blocks on, and tell how many entries have passed."""
    passed = 0
    report("reading the store", 0, in_all)
    for block in blocks:
        yield block
        passed += len(block.ids)
        report("reading the store", passed, in_all)


def _report_sealing(error: Exception) -> None:
    log.error("segments not sealed", error=str(error), exc_info=error)
