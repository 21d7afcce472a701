"""The index: codes under stable ids, every one within a radius found, none beyond.

It is log-structured (O'Neil et al., "The log-structured merge-tree", 1996):

- the **tail** takes every new code and is scanned;
- **segments** are sealed files, mapped and searched by multi-index hashing;
- a withdrawn code is hidden by a bit beside its segment until a merge drops it.

A search works on a *view*: which segments and tails there are, in one immutable
value. Sealing and merging make another view beside it and put it in its place, so
they never hold up a search. Files, manifests and threads are `sealer`'s matter.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from imageward_index.block import WHOLE_IMAGE_BITS, Block, check_block, check_width
from imageward_index.errors import DuplicateId, InvalidRadius
from imageward_index.live_segment import LiveSegment
from imageward_index.matches import Matches
from imageward_index.segment import RADIUS_MAX, Segment
from imageward_index.tail import Tail

RADIUS_BITS_MAX = RADIUS_MAX[WHOLE_IMAGE_BITS]


class View(NamedTuple):
    """The parts that a search reads.

    Attributes:
        segments: sealed codes.
        frozen: tails that take no more codes and wait to be sealed.
        tail: the tail that new codes go to.
    """

    segments: tuple[LiveSegment, ...]
    frozen: tuple[Tail, ...]
    tail: Tail

    @property
    def parts(self) -> tuple[LiveSegment | Tail, ...]:
        """All of them."""
        return (*self.segments, *self.frozen, self.tail)


class Index:
    """An exact range index over binary codes in the Hamming space.

    Safe under concurrent use. A change is seen by every search that starts after
    it returned.

    Args:
        width_bits: bits a code, 64 or 256. Of 64 bits an id may have many codes.
        attachments: whether a byte string is kept with every id.
    """

    def __init__(self, width_bits: int = WHOLE_IMAGE_BITS, *, attachments: bool = False) -> None:
        self.width_bits = width_bits
        self.has_attachments = attachments
        self.radius_bits_max = RADIUS_MAX[width_bits]
        self._view = View((), (), Tail(width_bits))
        self._revision = 0
        self._changing = threading.Lock()
        # What was withdrawn while another view is being made; None while none is.
        self._withdrawn_since: list[NDArray[np.int64]] | None = None

    def __len__(self) -> int:
        """Count the codes that searches can find."""
        return sum(len(part) for part in self._view.parts)

    @property
    def view(self) -> View:
        """The parts that searches read now."""
        return self._view

    @property
    def revision(self) -> int:
        """The last change of the store that is in it, as `applied` was told."""
        return self._revision

    def applied(self, revision: int) -> None:
        """Note that every change of the store up to this one is in the index."""
        with self._changing:
            self._revision = revision

    def contains(self, ids: ArrayLike) -> NDArray[np.bool_]:
        """Say for each id, shape (n,), whether searches can find it."""
        return _contains(self._view.parts, _as_ids(ids))

    def attachment(self, entry_id: int) -> bytes | None:
        """Return what is kept with an id, in microseconds; None if searches cannot find it.

        An id that a search found has its attachment, unless it was withdrawn since.
        """
        for part in self._view.parts:
            found = part.attachment(entry_id)
            if found is not None:
                return found
        return None

    def add(
        self,
        ids: ArrayLike,
        codes: NDArray[np.uint8],
        attachments: Mapping[int, bytes] | None = None,
    ) -> None:
        """Add codes, all of them or none.

        An id that was withdrawn may come again, with the codes and attachment that it had.

        Args:
            ids: int64, shape (n,), 0 or more, none of them in the index. All codes of
                an id come in one call, side by side.
            codes: uint8, shape (n, width_bits / 8).
            attachments: of every id its byte string, for an index that keeps them.

        Raises:
            InvalidBatch: ids and codes differ in number, or an id is negative or stands
                in two places; an attachment is missing, too long, or not wanted.
            InvalidHash: the codes have another width.
            DuplicateId: an id is in the index already.
        """
        block = Block(_as_ids(ids), codes, attachments)
        self.check(block)
        if not len(block.ids):
            return
        with self._changing:
            view = self._view
            if _contains((*view.segments, *view.frozen), block.ids).any():
                raise DuplicateId(
                    "an id is in the index already; withdraw it before adding it again"
                )
            view.tail.add(block)

    def check(self, block: Block) -> None:
        """Refuse a block that does not fit this index; raises as `add` does."""
        check_block(block, self.width_bits, attachments=self.has_attachments)

    def withdraw(self, ids: ArrayLike) -> int:
        """Hide the codes of ids from every later search; unknown ids change nothing.

        Returns:
            How many ids were there to hide.
        """
        id_array = np.unique(_as_ids(ids))
        with self._changing:
            if self._withdrawn_since is not None:
                self._withdrawn_since.append(id_array)
            return sum(part.withdraw(id_array) for part in self._view.parts)

    def search(
        self, queries: NDArray[np.uint8], radii: ArrayLike, *, first_only: bool = False
    ) -> Matches:
        """Find every code within the radius of each query.

        Args:
            queries: uint8, shape (q, width_bits / 8).
            radii: one for all or shape (q,), in bits, inclusive; 0..63, of 64 bits 0..8.
            first_only: of each query one match in each part of the index is enough.

        Returns:
            The matches, sorted by query, distance, id and ordinal.

        Raises:
            InvalidHash: the queries have another width.
            InvalidRadius: a radius is out of range.
        """
        check_width(queries, self.width_bits)
        radius_array = self._radius_of_each(radii, len(queries))
        if not len(queries):
            return Matches.none()
        view = self._view
        found = [
            segment.search(queries, radius_array, first_only=first_only)
            for segment in view.segments
        ]
        found += [tail.search(queries, radius_array) for tail in (*view.frozen, view.tail)]
        return Matches.join(found)

    def freeze(self) -> tuple[int, tuple[Tail, ...]]:
        """Let a new tail take what comes; return the revision and the tails to be sealed.

        Every change up to the revision is in them or in the segments.
        """
        with self._changing:
            view = self._view
            frozen = (*view.frozen, view.tail) if len(view.tail) else view.frozen
            self._view = View(view.segments, frozen, Tail(self.width_bits))
            return self._revision, frozen

    def restore(
        self, segments: Sequence[Segment], dead_ids: Sequence[NDArray[np.int64]], revision: int
    ) -> None:
        """Begin with sealed codes.

        Args:
            segments: what a manifest names.
            dead_ids: of each segment, the ids that are withdrawn.
            revision: the last change that is in them.
        """
        live = [LiveSegment(segment) for segment in segments]
        for one, ids in zip(live, dead_ids, strict=True):
            one.withdraw(ids)
        with self._changing:
            self._view = View(tuple(live), (), Tail(self.width_bits))
            self._revision = revision

    def adopt(self, segments: Sequence[Segment]) -> None:
        """Serve from these segments instead, and forget what of the tails is in them.

        The index must have every change that is in the segments. What is live stays
        live and what is withdrawn stays withdrawn, whatever changes meanwhile.

        Args:
            segments: those that stay, and the new ones.
        """
        self.freeze()
        with self._changing:
            self._withdrawn_since = []
            base = self._view
        kept = {live.segment.path: live for live in base.segments}
        fresh = [
            LiveSegment(segment, live_ids=lambda ids: _contains(base.parts, ids))
            for segment in segments
            if segment.path not in kept
        ]
        # A withdrawal and a restoration that came as one change leave a code alive in a
        # segment that the sealing process, which saw them apart, has merged without it.
        staying = {segment.path for segment in segments}
        dropped = [live for live in base.segments if live.segment.path not in staying]
        rest = self._rest((*base.frozen, *dropped), fresh)
        with self._changing:
            for ids in self._withdrawn_since:
                rest.withdraw(ids)
                for live in fresh:
                    live.withdraw(ids)
            self._withdrawn_since = None
            by_path = kept | {live.segment.path: live for live in fresh}
            self._view = View(
                tuple(by_path[segment.path] for segment in segments),
                (*self._view.frozen[len(base.frozen) :], *((rest,) if len(rest) else ())),
                self._view.tail,
            )

    def _rest(self, parts: Sequence[Tail | LiveSegment], sealed: Sequence[LiveSegment]) -> Tail:
        """Gather the live codes of parts that no new segment has."""
        rest = Tail(self.width_bits)
        for part in parts:
            ids = part.live_ids()
            left = np.ones(len(ids), dtype=np.bool_)
            for live in sealed:
                left[left] = ~live.segment.contains(ids[left])
            if left.any():
                rest.add(part.live().of_ids(ids[left]))
        return rest

    def _radius_of_each(self, radii: ArrayLike, queries: int) -> NDArray[np.int64]:
        """Give each query its radius; one for all, as single lookups have, costs little."""
        if isinstance(radii, int):
            lowest = highest = radii
            each = np.full(queries, radii, np.int64)
        else:
            each = np.broadcast_to(np.asarray(radii, np.int64), queries)
            lowest, highest = (each.min(), each.max()) if queries else (0, 0)
        if not 0 <= lowest <= highest <= self.radius_bits_max:
            raise InvalidRadius(
                f"a radius of {lowest}..{highest} bits was asked for; "
                f"use 0..{self.radius_bits_max}",
                radius_bits_max=self.radius_bits_max,
            )
        return each


def _contains(parts: Sequence[LiveSegment | Tail], ids: NDArray[np.int64]) -> NDArray[np.bool_]:
    found = np.zeros(len(ids), dtype=np.bool_)
    for part in parts:
        missing = np.flatnonzero(~found)
        if not len(missing):
            break
        found[missing] = part.contains(ids[missing])
    return found


def _as_ids(ids: ArrayLike) -> NDArray[np.int64]:
    return np.ascontiguousarray(np.asarray(ids, dtype=np.int64).reshape(-1))
