"""The mutable part of the index: codes with their ids that are not sealed yet.

Owns ids, ordinals, attachments and which rows live, and keeps changes from searches;
the codes themselves are scanned by FAISS (`flat_codes`) where an id has one of 256
bits, and hang in chains (`chained_codes`) where it has many of 64.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from imageward_index.block import WHOLE_IMAGE_BITS, Block
from imageward_index.chained_codes import ChainedCodes
from imageward_index.errors import DuplicateId, InvalidBatch
from imageward_index.flat_codes import FlatCodes
from imageward_index.fresh_codes import FreshCodes
from imageward_index.locks import ReadWriteLock
from imageward_index.matches import Matches

# Withdrawn rows are dropped once there are this many and they are half of all.
DEAD_ROWS_MIN = 4096
# Above this many ids a sort, which leaves the GIL to others, is as quick as asking for each.
IDS_BY_NAME_MAX = 4096
_CAPACITY_MIN = 1024


class Tail:
    """Codes with ids, searched by a scan of all of them.

    Safe under concurrent use: searches share, a change is alone for the time of
    its append.

    Args:
        width_bits: 64 or 256.
    """

    def __init__(self, width_bits: int) -> None:
        self._codes: FreshCodes = (
            FlatCodes(width_bits) if width_bits == WHOLE_IMAGE_BITS else ChainedCodes()
        )
        # Beside each row of codes: its id, its ordinal, whether it is alive.
        self._ids = np.empty(0, dtype=np.int64)
        self._ordinals = np.empty(0, dtype=np.int64)
        self._alive = np.empty(0, dtype=np.bool_)
        # The rows of an id lie side by side: the first, and how many.
        self._rows_of: dict[int, tuple[int, int]] = {}
        self._attachments: dict[int, bytes] = {}
        self._live_rows = 0
        self._lock = ReadWriteLock()

    def __len__(self) -> int:
        """Count the codes that searches can find."""
        return self._live_rows

    def contains(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Say for each id, shape (n,), whether searches can find it."""
        with self._lock.read():
            if len(ids) > IDS_BY_NAME_MAX:
                rows = slice(len(self._codes))
                return np.isin(ids, self._ids[rows][self._alive[rows]])
            rows_of = self._rows_of
            return np.fromiter((i in rows_of for i in ids.tolist()), np.bool_, count=len(ids))

    def live_ids(self) -> NDArray[np.int64]:
        """List the ids that searches can find, int64, each once."""
        with self._lock.read():
            return np.fromiter(self._rows_of, np.int64, count=len(self._rows_of))

    def live(self) -> Block:
        """Copy what searches can find, in the order it came."""
        with self._lock.read():
            rows = np.flatnonzero(self._alive[: len(self._codes)])
            return Block(self._ids[rows], self._codes.all()[rows], self._attachments.copy() or None)

    def attachment(self, entry_id: int) -> bytes | None:
        """Return what is kept with an id; None if searches cannot find it."""
        # Without the lock, which an append may hold for long: a dictionary answers whole.
        return self._attachments.get(entry_id)

    def add(self, block: Block) -> None:
        """Make codes findable, all of them or none.

        Args:
            block: none of its ids live.

        Raises:
            InvalidBatch: an id stands in two places of the batch.
            DuplicateId: an id is live already.
        """
        ids = block.ids
        firsts = np.flatnonzero(np.diff(ids, prepend=-1))
        counts = np.diff(firsts, append=len(ids))
        kept = block.attachments
        attachments = {} if kept is None else {i: kept[i] for i in ids[firsts].tolist()}
        with self._lock.write():
            self._refuse_repeated(ids[firsts])
            first_row = len(self._codes)
            # First what may find no memory: a row without an id would break every search.
            self._reserve(first_row + len(ids))
            self._codes.append(block.codes)
            added = slice(first_row, first_row + len(ids))
            self._ids[added] = ids
            self._ordinals[added] = np.arange(len(ids)) - np.repeat(firsts, counts)
            self._alive[added] = True
            self._attachments.update(attachments)
            self._note_rows(ids[firsts], first_row + firsts, counts)
            self._live_rows += len(ids)

    def withdraw(self, ids: NDArray[np.int64]) -> int:
        """Hide the codes of ids from every later search; ids that are not live change nothing.

        Returns:
            How many ids were live.
        """
        with self._lock.write():
            ranges = [self._rows_of.pop(i) for i in ids.tolist() if i in self._rows_of]
            for entry_id in ids.tolist():
                self._attachments.pop(entry_id, None)
            for first, count in ranges:
                self._alive[first : first + count] = False
                self._live_rows -= count
            dead_rows = len(self._codes) - self._live_rows
            if dead_rows >= max(DEAD_ROWS_MIN, self._live_rows):
                self._drop_dead_rows()
            return len(ranges)

    def search(self, queries: NDArray[np.uint8], radii: NDArray[np.int64]) -> Matches:
        """Find every live code within each query's radius, inclusive; in no order.

        Args:
            queries: uint8, shape (q, width in bytes).
            radii: int64, shape (q,), in bits.
        """
        # Nearly always there is none, as all is sealed. The count is never lower than what was
        # added before, so the lock may be left alone.
        if not self._live_rows or not len(queries):
            return Matches.none()
        with self._lock.read():
            near = self._codes.search(queries, radii)
            if not len(near.rows):
                return Matches.none()
            keep = self._alive[near.rows]
            rows = near.rows[keep]
            return Matches(
                near.queries[keep], self._ids[rows], self._ordinals[rows], near.distances[keep]
            )

    def _refuse_repeated(self, ids: NDArray[np.int64]) -> None:
        if len(np.unique(ids)) != len(ids):
            raise InvalidBatch("an id stands twice in one batch of codes; send each id once")
        if any(i in self._rows_of for i in ids.tolist()):
            raise DuplicateId("an id is in the index already; withdraw it before adding it again")

    def _reserve(self, rows: int) -> None:
        """Grow the arrays beside the codes geometrically, as FAISS grows the codes."""
        if rows > len(self._ids):
            capacity = max(rows, 2 * len(self._ids), _CAPACITY_MIN)
            self._ids = np.resize(self._ids, capacity)
            self._ordinals = np.resize(self._ordinals, capacity)
            self._alive = np.resize(self._alive, capacity)

    def _note_rows(
        self, ids: NDArray[np.int64], firsts: NDArray[np.int64], counts: NDArray[np.int64]
    ) -> None:
        ranges = zip(firsts.tolist(), counts.tolist(), strict=True)
        self._rows_of.update(zip(ids.tolist(), ranges, strict=True))

    def _drop_dead_rows(self) -> None:
        live = np.flatnonzero(self._alive[: len(self._codes)])
        self._ids, self._ordinals = self._ids[live], self._ordinals[live]
        self._alive = np.ones(len(live), dtype=np.bool_)
        self._codes.keep(live)
        firsts = np.flatnonzero(np.diff(self._ids, prepend=-1))
        self._rows_of.clear()
        self._note_rows(self._ids[firsts], firsts, np.diff(firsts, append=len(live)))
