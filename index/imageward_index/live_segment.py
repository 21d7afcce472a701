"""A sealed segment together with the bits that say which of its rows are alive."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from imageward_index.block import Block
from imageward_index.matches import Matches
from imageward_index.segment import Segment

# Ids that are asked about at once when a segment is adopted.
IDS_PER_STEP = 1 << 18


class LiveSegment:
    """A segment as one process serves it. Changes are the caller's to serialise.

    Args:
        segment: the sealed codes.
        live_ids: says of ids which are alive; without it all are.
    """

    def __init__(
        self,
        segment: Segment,
        live_ids: Callable[[NDArray[np.int64]], NDArray[np.bool_]] | None = None,
    ) -> None:
        self.segment = segment
        self._alive: NDArray[np.uint8] | None = None
        self._dead_rows = 0
        if live_ids is not None:
            for ids in self._id_steps():
                self.withdraw(ids[~live_ids(ids)])

    def __len__(self) -> int:
        """Count the codes that searches can find."""
        return len(self.segment) - self._dead_rows

    @property
    def dead_rows(self) -> int:
        """How many codes are withdrawn and still in the file."""
        return self._dead_rows

    def contains(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Say for each id, shape (n,), whether searches can find it."""
        return self.segment.living(self._alive, ids)

    def withdraw(self, ids: NDArray[np.int64]) -> int:
        """Hide the codes of ids, each given once; return how many ids were alive."""
        dying = ids[self.contains(ids)]
        if not len(dying):
            return 0
        # A search may have begun with the bits it was handed: they change in place.
        alive = self.segment.all_alive() if self._alive is None else self._alive
        self._dead_rows += self.segment.bury(alive, dying)
        self._alive = alive
        return len(dying)

    def search(
        self, queries: NDArray[np.uint8], radii: NDArray[np.int64], *, first_only: bool
    ) -> Matches:
        """Find the live codes within each radius; see `Segment.search`."""
        return self.segment.search(queries, radii, self._alive, first_only=first_only)

    def dead_ids(self) -> NDArray[np.int64]:
        """List the ids that are withdrawn, int64, sorted."""
        return np.unique(self.segment.ids_of(self._rows(alive=False)))

    def live_ids(self) -> NDArray[np.int64]:
        """List the ids that are alive, int64, sorted, each once."""
        return np.unique(self.segment.ids_of(self._rows(alive=True)))

    def attachment(self, entry_id: int) -> bytes | None:
        """Return what is kept with an id; None if searches cannot find it."""
        return self.segment.attachment(self._alive, entry_id)

    def live(self) -> Block:
        """Copy the ids and codes that are alive, in the order of ids; attachments stay mapped."""
        rows = self._rows(alive=True)
        segment = self.segment
        return Block(segment.ids_of(rows), segment.codes_of(rows), segment.attachments)

    def _rows(self, *, alive: bool) -> NDArray[np.int64]:
        if self._alive is None:
            return np.arange(len(self.segment) if alive else 0)
        bits = np.unpackbits(self._alive, count=len(self.segment), bitorder="little")
        return np.flatnonzero(bits == alive)

    def _id_steps(self) -> list[NDArray[np.int64]]:
        rows = np.arange(len(self.segment))
        steps = range(0, len(rows), IDS_PER_STEP)
        return [np.unique(self.segment.ids_of(rows[at : at + IDS_PER_STEP])) for at in steps]
