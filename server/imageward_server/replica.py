"""This process's copy of the store: two indexes and the banks, at one revision.

The store is the truth; the replica follows its feed. A change is applied to the
indexes first and its revision published last, so a check that reads revision r
searches indexes that have every change up to r.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import structlog

from imageward_index.block import Block
from imageward_index.errors import ImagewardError, SegmentUnusable
from imageward_index.fingerprint import REGIONS_VERSION
from imageward_index.index import Index
from imageward_index.manifest import Origin
from imageward_index.pdq import HASHER_VERSION
from imageward_index.picture import warm_up as warm_up_pictures
from imageward_index.policy import BankSet
from imageward_index.sealer import Sealer
from imageward_index.warm_up import warm_up as warm_up_search
from imageward_server.errors import RevisionNotReached
from imageward_server.store import FeedPage, Store, read_fingerprint

log = structlog.get_logger(__name__)

# Told what is being done, how much of it is done, and of how much.
Progress = Callable[[str, int, int], None]
SEALER_PERIOD_S = 0.2
HASH_BITS, CODE_BITS = 256, 64
HASH_SEGMENTS = "segments"
CODE_SEGMENTS = "code-segments"


class Replica:
    """Follows a store. Safe under concurrent use.

    Args:
        store: what is followed.
        data_dir: where the folders of the indexes' sealed segments are.
        poll_s: how often changes by other processes are looked for, in seconds.
        announce: called when this process has changed the store.
        seal_codes: codes in a tail from which on they are sealed.
        on_replaced: called when another store stands in the place of the one that was
            loaded, such as one from a backup: nothing here is true of it.

    Attributes:
        hashes: the whole-image hashes of all active entries.
        codes: their regional codes, each entry's fingerprint attached.
        sealers: what keeps the two in files.
    """

    def __init__(
        self,
        store: Store,
        data_dir: Path,
        poll_s: float,
        announce: Callable[[], None] = lambda: None,
        seal_codes: int | None = None,
        on_replaced: Callable[[], None] = lambda: None,
    ) -> None:
        self.hashes = Index(HASH_BITS)
        self.codes = Index(CODE_BITS, attachments=True)
        self._store = store
        self._poll_s = poll_s
        self._announce = announce
        self._on_replaced = on_replaced
        self._store_id = store_id = store.store_id()
        self._hash_sealer = Sealer(
            self.hashes,
            data_dir / HASH_SEGMENTS,
            Origin(store_id, HASHER_VERSION, HASH_BITS),
            seal_codes,
            keys=store.segment_keys(HASH_SEGMENTS),
        )
        self._code_sealer = Sealer(
            self.codes,
            data_dir / CODE_SEGMENTS,
            Origin(store_id, REGIONS_VERSION, CODE_BITS),
            seal_codes,
            keys=store.segment_keys(CODE_SEGMENTS),
            # So that one process has both, and can erase.
            after=self._hash_sealer,
        )
        self.sealers = (self._hash_sealer, self._code_sealer)
        self._banks = BankSet()
        self._revision = 0
        self._current_at = self._changed_at = time.monotonic()
        self._applying = threading.Lock()
        self._advanced = threading.Condition()
        self._stopping = threading.Event()
        self._told = threading.Event()
        self._follower = threading.Thread(target=self._follow, name="replica", daemon=True)

    @property
    def revision(self) -> int:
        """The last change that every search sees."""
        return self._revision

    @property
    def current_at(self) -> float:
        """When it last knew that it has every change of the store, on `time.monotonic`."""
        return self._current_at

    @property
    def changed_at(self) -> float:
        """When a change was last applied, on `time.monotonic`."""
        return self._changed_at

    @property
    def banks(self) -> BankSet:
        """The banks, as of `revision` or later."""
        return self._banks

    def load(self, report: Progress) -> None:
        """Map the segments and replay what is newer; what has none is read from the store.

        Args:
            report: told what is done, now and then.
        """
        report("compiling the search", 0, 1)
        warm_up_search()
        warm_up_pictures()
        report("compiling the search", 1, 1)
        with self._applying:
            missing = [sealer for sealer in self.sealers if not self._open(sealer)]
            if missing:
                self._build(missing, report)
            self._replay(report)

    def follow(self) -> None:
        """Follow the store from now on, and seal and merge segments, in threads."""
        self._follower.start()
        for sealer in self.sealers:
            sealer.start(SEALER_PERIOD_S, _report_sealing)

    def stop(self) -> None:
        """Stop following."""
        self._stopping.set()
        self._told.set()
        if self._follower.is_alive():
            self._follower.join()
        for sealer in reversed(self.sealers):
            sealer.close()

    def look(self) -> None:
        """Look for changes by other processes now, and not at the next poll."""
        self._told.set()

    def seals(self) -> bool:
        """Whether this is the process that writes the segments, of all that serve them."""
        return all(sealer.try_lock() for sealer in self.sealers)

    def erase(self, entry_ids: Sequence[int]) -> tuple[threading.Event, ...]:
        """Let no segment have anything of entries, which are withdrawn in the store.

        Returns:
            What is set when that is so.
        """
        self._read_feed()
        ids = np.array(entry_ids, np.int64)
        return tuple(sealer.erase(ids) for sealer in self.sealers)

    def catch_up(self) -> None:
        """Apply every change that is in the store by now: this process has changed it."""
        self._announce()
        self._read_feed()

    def wait_for(self, revision: int, timeout_s: float) -> None:
        """Return once searches see this revision; what the store has of it is read at once.

        Raises:
            RevisionNotReached: it did not come within the time.
        """
        deadline = time.monotonic() + timeout_s
        if self._revision < revision:
            self._fetch(revision, timeout_s)
        with self._advanced:
            while self._revision < revision:
                if not self._advanced.wait(deadline - time.monotonic()):
                    raise RevisionNotReached(
                        f"revision {revision} was asked for and {self._revision} is the last; "
                        "ask again later, or for a lower minimum revision",
                        revision=self._revision,
                        minimum_revision=revision,
                    )

    def _fetch(self, revision: int, timeout_s: float) -> None:
        """Read changes up to a revision in this thread, if the store may have them.

        The word about another's change passes a process and two threads before the follower
        reads, and on a busy machine each of them waits for a processor: who waits for the
        change need not. One read serves all who came before it began, so asking for
        revisions that are far away costs no more.
        """
        came_at = time.monotonic()
        if not self._applying.acquire(timeout=max(timeout_s, 0.0)):
            return
        try:
            if self._current_at < came_at:
                self._read_up_to(revision)
        except ImagewardError:
            self.look()  # the follower asks again, and the log has what it hears
        finally:
            self._applying.release()

    def _read_feed(self) -> None:
        with self._applying:
            self._read_up_to(math.inf)

    def _read_up_to(self, revision: float) -> None:
        """Apply changes until there are no more, or a revision is reached. The lock is held."""
        while self._revision < revision:
            asked_at = time.monotonic()
            page = self._store.changes_after(self._revision)
            if page is None:
                self._current_at = asked_at
                return
            self._apply(page)

    def _open(self, sealer: Sealer) -> bool:
        """Map the segments of a folder; one that cannot be used is as good as none."""
        try:
            return sealer.open(revision_max=self._store.revision)
        except SegmentUnusable as error:
            log.warning(
                "segments not usable, reading the store instead",
                error=str(error),
                path=str(error.path),
                hint=error.hint,
            )
            return False

    def _build(self, sealers: Iterable[Sealer], report: Progress) -> None:
        with self._store.snapshot() as snapshot:
            for sealer in sealers:
                if sealer is self._hash_sealer:
                    blocks, in_all = snapshot.hash_blocks, snapshot.active_count
                    doing = "reading hashes"
                else:
                    blocks = map(_code_block, snapshot.fingerprint_blocks)
                    in_all, doing = snapshot.fingerprint_count, "reading regional codes"
                sealer.build(_reported(blocks, doing, in_all, report), snapshot.revision)

    def _replay(self, report: Progress) -> None:
        # What one index has already is applied to it again, which changes nothing.
        first, last = min(self._index_revisions()), self._store.revision()
        self._banks = BankSet(record.bank for record in self._store.all_banks())
        self._publish(first)
        report("replaying changes", 0, last - first)
        while page := self._store.changes_after(self._revision):
            self._apply(page)
            report("replaying changes", min(page.revision, last) - first, last - first)

    def _index_revisions(self) -> tuple[int, int]:
        return self.hashes.revision, self.codes.revision

    def _apply(self, page: FeedPage) -> None:
        states = page.entries
        unknown = ~self.hashes.contains(states.active_ids)
        self.hashes.add(states.active_ids[unknown], states.active_codes[unknown])
        described = np.fromiter(states.fingerprints, np.int64, count=len(states.fingerprints))
        fresh = described[~self.codes.contains(described)].tolist()
        self.codes.add(*_code_block({one: states.fingerprints[one] for one in fresh}))
        for index in (self.hashes, self.codes):
            index.withdraw(states.withdrawn_ids)
            index.applied(max(index.revision, page.revision))
        if page.banks is not None:
            self._banks = BankSet(page.banks)
        self._publish(page.revision)

    def _publish(self, revision: int) -> None:
        with self._advanced:
            self._revision = revision
            self._changed_at = time.monotonic()
            self._advanced.notify_all()

    def _follow(self) -> None:
        while not self._stopping.is_set():
            self._told.wait(self._poll_s)
            # Before the store is asked: what is told from here on is a change that may be
            # missed, and is looked for again.
            self._told.clear()
            try:
                asked_at = time.monotonic()
                seen = self._revision  # first: another thread may read on meanwhile
                store_id, revision = self._store.position()
                if store_id != self._store_id or revision < seen:
                    log.critical("store replaced", revision=revision, loaded=seen)
                    self._on_replaced()
                    return
                if revision > self._revision:
                    self._read_feed()
                else:
                    self._current_at = asked_at
            except Exception:
                # Checks go on from memory; the next round tries again. Whatever it was:
                # a follower that ended would leave them behind for ever, unnoticed.
                log.exception("feed not readable")


def _code_block(fingerprints: Mapping[int, bytes]) -> Block:
    """Lay out the regional codes of fingerprints as the index takes them."""
    parts = [read_fingerprint(data).codes for data in fingerprints.values()]
    counts = [len(part) for part in parts]
    ids = np.repeat(np.fromiter(fingerprints, np.int64, count=len(fingerprints)), counts)
    codes = np.concatenate([np.empty(0, np.uint64), *parts])
    return Block(ids, codes.view(np.uint8).reshape(-1, CODE_BITS // 8), fingerprints)


def _reported(
    blocks: Iterable[Block], doing: str, in_all: int, report: Progress
) -> Iterator[Block]:
    """Pass blocks on, and tell how many entries have passed."""
    passed = 0
    report(doing, 0, in_all)
    for block in blocks:
        yield block
        passed += len(block.attachments or block.ids)
        report(doing, passed, in_all)


def _report_sealing(error: Exception) -> None:
    log.error("segments not sealed", error=str(error), exc_info=error)
