"""Keeps an index in a folder of segments: opens, seals, merges, and follows other processes.

One process a machine seals, the one that holds the folder's lock; the lock goes
with its process, however that ends. Every process, the sealing one too, learns of
new segments from the manifest, and adopts them once its own index has every change
that is in them.

1. The tail has grown: freeze it, write its live codes as a segment, name that in a
   new manifest, adopt it.
2. Segments have come near each other in size, or much of one is withdrawn, or of one
   something is to be erased: write the live codes of them as one, name it instead of
   them, adopt it, remove their files and destroy their keys.
"""

from __future__ import annotations

import fcntl
import math
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imageward_index.block import Block
from imageward_index.errors import SegmentCorrupt, SegmentIncompatible, SegmentUnusable
from imageward_index.index import Index
from imageward_index.live_segment import LiveSegment
from imageward_index.manifest import FILE_NAME, Manifest, Origin, read_manifest, write_manifest
from imageward_index.merge import merge_apart, write_merged
from imageward_index.merge_choice import MERGED_CODES_MAX, choose_merge, pack
from imageward_index.segment import Segment
from imageward_index.segment_keys import SegmentKeys
from imageward_index.segment_writer import Stamp, write_segment

# By width. A scan of 32,768 hashes takes 90 us, of 131,072 310, and a segment of either 25;
# regional codes are not scanned, and come by the hundred.
SEAL_CODES = {256: 1 << 15, 64: 1 << 17}
# From so many codes on a merge is done by another process.
MERGE_APART_CODES = 1 << 20
# Codes of a segment that is built from a store; more would need more memory at once.
# Regional codes are many and small, and one segment more costs each of their searches.
BUILD_CODES = {256: 1 << 25, 64: 1 << 27}
SEGMENT_SUFFIX = ".segment"
LOCK_NAME = "sealer.lock"


class Erasure(NamedTuple):
    """Ids that no segment shall have any more, and what is set when that is so."""

    ids: NDArray[np.int64]
    done: threading.Event


class Named(NamedTuple):
    """A manifest, which it is, and what it names."""

    version: tuple[int, int]
    manifest: Manifest
    segments: list[Segment]


class Sealer:
    """Ties one index to one folder.

    Its methods are for one thread, but for `erase`; `start` runs them in a thread of its own.

    Args:
        index: the index, empty until `open` or `build`.
        folder: where the segments are; made if it is missing.
        origin: what the codes are a copy of.
        seal_codes: codes in the tail from which on it is sealed.
        keys: what the segments are encrypted with; None to keep them in clear.
        after: seal only in the process that seals this one's folder.
    """

    def __init__(
        self,
        index: Index,
        folder: Path,
        origin: Origin,
        seal_codes: int | None = None,
        *,
        keys: SegmentKeys | None = None,
        after: Sealer | None = None,
    ) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._index = index
        self._folder = folder
        self._origin = origin
        self._seal_codes = seal_codes or SEAL_CODES[index.width_bits]
        self._merged_codes_max = MERGED_CODES_MAX[index.width_bits]
        self._keys = keys
        self._after = after
        self._lock = (folder / LOCK_NAME).open("ab")
        self._erasures: deque[Erasure] = deque()
        self._seen: tuple[int, int] | None = None
        # The last change that is in the named segments.
        self._sealed_revision = 0
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def open(self, revision_max: Callable[[], float] = lambda: math.inf) -> bool:
        """Map the segments of the folder; return whether there were any to begin with.

        Args:
            revision_max: says the store's revision, and is asked when the manifest was
                read. Segments beyond it do not count: the store was put back to an older
                state.

        Raises:
            SegmentUnusable: a file is damaged, or of another format or origin. The
                index is as it was.
        """
        named = self._map_new(revision_max)
        if named is None or not named.segments:
            return False
        self._index.restore(named.segments, named.manifest.dead_ids, named.manifest.revision)
        self._sealed_revision, self._seen = named.manifest.revision, named.version
        return True

    def build(self, blocks: Iterable[Block], revision: int) -> None:
        """Begin with the codes of a store; what is too little to be sealed goes to the tail.

        Args:
            blocks: those of all live entries, each id in one of them.
            revision: the last change that is in them.

        Raises:
            InvalidInput: a block does not fit the index.
            OSError: the disk is full or the folder cannot be written.
        """
        names: list[str] = []
        gathered: list[Block] = []
        count = 0
        sealing = self.try_lock()
        for block in blocks:
            self._index.check(block)
            gathered.append(block)
            count += len(block.ids)
            if sealing and count >= BUILD_CODES[self._index.width_bits]:
                names.append(self._write(gathered, revision))
                gathered, count = [], 0
        if sealing and count >= self._seal_codes:
            names.append(self._write(gathered, revision))
            gathered = []
        if sealing:
            self._begin(names, revision)
        for block in gathered:
            self._index.add(*block)
        self._index.applied(revision)

    def try_lock(self) -> bool:
        """Become the process that seals, or stay it; return whether this is the one."""
        if self._after is not None and not self._after.try_lock():
            return False
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def erase(self, ids: NDArray[np.int64]) -> threading.Event:
        """Let no segment have codes of ids, which are withdrawn; for any thread.

        Returns:
            What is set once no named segment has them, dead or alive, if this is the
            process that seals.
        """
        self._erasures.append(Erasure(ids, threading.Event()))
        return self._erasures[-1].done

    def step(self) -> bool:
        """Do what there is to do, once; return whether there was anything.

        Raises:
            SegmentUnusable: another process named a segment that cannot be read.
            OSError: the disk is full or the folder cannot be written.
        """
        if not self.try_lock():
            return self._follow()
        if self._erasures:
            self._erase(self._erasures[0])
            self._erasures.popleft().done.set()
            return True
        if len(self._index.view.tail) + sum(map(len, self._index.view.frozen)) >= self._seal_codes:
            self.seal()
            return True
        group = choose_merge(self._index.view.segments, self._merged_codes_max)
        if group:
            self._merge(group)
        return bool(group)

    def seal(self) -> None:
        """Write the tail as a segment, however small; the lock must be held."""
        self._sealed_revision, tails = self._index.freeze()
        names = self._names()
        if any(len(tail) for tail in tails):
            names.append(self._write([tail.live() for tail in tails], self._sealed_revision))
        self._publish(names)

    def compact(self) -> None:
        """Seal the tail, and merge all into as few segments as may be, without withdrawn codes."""
        self.seal()
        for group in pack(self._index.view.segments, self._merged_codes_max):
            self._merge(group)

    def start(self, period_s: float, report: Callable[[Exception], None]) -> None:
        """Step in a thread until `close`.

        Args:
            period_s: seconds between looks when there is nothing to do.
            report: told what went wrong in a step; the next step tries again.
        """
        self._thread = threading.Thread(
            target=self._run, args=(period_s, report), name="sealer", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """End the thread and give the lock away; close it before the one that it is after."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        self._lock.close()

    def _erase(self, erasure: Erasure) -> None:
        for live in self._index.view.segments:
            if live.segment.contains(erasure.ids).any():
                self._merge([live])

    def _run(self, period_s: float, report: Callable[[Exception], None]) -> None:
        while not self._stopping.is_set():
            try:
                busy = self.step()
            except Exception as error:  # noqa: BLE001 - a sealer that ends would never seal again
                report(error)
                busy = False
            if not busy:
                self._stopping.wait(period_s)

    def _follow(self) -> bool:
        """Adopt what the sealing process has named, once the index is as far."""
        named = self._map_new(lambda: self._index.revision)
        if named is None:
            return False
        self._index.adopt(named.segments)
        self._sealed_revision, self._seen = named.manifest.revision, named.version
        return True

    def _map_new(self, revision_max: Callable[[], float]) -> Named | None:
        """Map what the manifest names, unless it was seen or is beyond a revision.

        The sealing process may put another manifest in its place at any moment, and remove
        what is then named no more: what could not be read counts only if it is still named.
        """
        while True:
            version = self._version()
            if version is None or version == self._seen:
                return None
            try:
                manifest = read_manifest(self._folder)
                if manifest is None or manifest.revision > revision_max():
                    return None
                self._require_origin(manifest)
                return Named(version, manifest, self._map(manifest.names))
            except SegmentUnusable:
                if self._version() == version:
                    raise

    def _version(self) -> tuple[int, int] | None:
        """Say which manifest is there; None without one."""
        try:
            found = (self._folder / FILE_NAME).stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns

    def _require_origin(self, manifest: Manifest) -> None:
        if manifest.origin != self._origin:
            raise SegmentIncompatible(
                "A manifest is of another store, hasher or width of codes.",
                self._folder / FILE_NAME,
            )

    def _map(self, names: Sequence[str]) -> list[Segment]:
        """Map segments; those that the index has already are not mapped again."""
        mapped = {live.segment.path.name: live.segment for live in self._index.view.segments}
        return [mapped.get(name) or self._open_segment(name) for name in names]

    def _open_segment(self, name: str) -> Segment:
        path = self._folder / name
        try:
            segment = Segment.open(path, self._origin.hasher_version, self._keys)
        except FileNotFoundError as error:
            raise SegmentCorrupt("A segment that the manifest names is not there.", path) from error
        if (segment.attachments is not None) != self._index.has_attachments:
            raise SegmentIncompatible("A segment has attachments where none are, or none.", path)
        return segment

    def _write(self, blocks: Sequence[Block], revision: int) -> str:
        name = self._new_name(revision)
        stamp = Stamp(self._origin.hasher_version, 0, revision)
        write_segment(self._folder / name, blocks, stamp=stamp, keys=self._keys)
        return name

    def _new_name(self, revision: int) -> str:
        """Make a name that no segment of the folder has had."""
        return f"{revision:020d}-{uuid.uuid4().hex[:8]}{SEGMENT_SUFFIX}"

    def _begin(self, names: Sequence[str], revision: int) -> None:
        """Name the first segments of a folder, and serve from them."""
        dead_ids = [np.empty(0, dtype=np.int64) for _ in names]
        manifest = Manifest(self._origin, revision, tuple(names), tuple(dead_ids))
        write_manifest(self._folder, manifest)
        self._index.restore(self._map(names), dead_ids, revision)
        self._sealed_revision = revision
        self._remove_unnamed(names)

    def _merge(self, group: Sequence[LiveSegment]) -> None:
        """Write the live codes of segments as one, in the place of them."""
        gone = [live.segment.path.name for live in group]
        names = [name for name in self._names() if name not in gone]
        codes = sum(len(live) for live in group)
        if codes:
            names.append(self._new_name(self._sealed_revision))
            if codes < MERGE_APART_CODES:
                write_merged(self._folder, names[-1], group, self._keys)
            else:
                self._publish(self._names())  # so that the manifest has every withdrawal
                merge_apart(self._folder, names[-1], gone, self._keys)
        self._publish(names)

    def _publish(self, names: Sequence[str]) -> None:
        """Name segments in a new manifest, adopt them, remove what is named no more."""
        self._index.adopt(self._map(names))
        dead_ids = tuple(live.dead_ids() for live in self._index.view.segments)
        manifest = Manifest(self._origin, self._sealed_revision, tuple(names), dead_ids)
        write_manifest(self._folder, manifest)
        self._remove_unnamed(names)

    def _names(self) -> list[str]:
        return [live.segment.path.name for live in self._index.view.segments]

    def _remove_unnamed(self, names: Sequence[str]) -> None:
        """Remove files that a crash or a merge has left; who maps them keeps them."""
        for path in self._folder.iterdir():
            left_over = path.suffix == SEGMENT_SUFFIX and path.name not in names
            if left_over or path.suffix == ".partial":
                path.unlink(missing_ok=True)
        if self._keys is not None:
            self._keys.keep(names)
