"""A sealed segment: codes that no longer change, and exact search among them.

Owns what a segment's arrays mean to a reader, and the life of the arguments that
the kernels take. How they came to be is `segment_writer`'s, the bytes of the file
`sealed_file`'s, the plan `slices`'s, the loops `kernels`'s. It knows no tail, no
other segment, and of dead rows only the bits it is handed.

Rows are in the order of ids; the codes of one id keep the order they came in,
and a code's place among them is its *ordinal*.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from imageward_index.attachments import SealedAttachments
from imageward_index.errors import SegmentCorrupt, SegmentIncompatible
from imageward_index.id_column import IdColumn
from imageward_index.kernels import search
from imageward_index.lazy_property import lazy_property
from imageward_index.matches import Matches
from imageward_index.sealed_file import open_sealed
from imageward_index.segment_writer import (
    Stamp,
    array_shapes,
    attachment_shapes,
    keeps_order,
    reordered,
)
from imageward_index.slices import (
    Plan,
    flips,
    probe_count,
    probe_table,
    row_bytes,
    work_max,
)
from imageward_index.word_kernels import search_words

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from imageward_index.segment_keys import SegmentKeys

RADIUS_MAX = {64: 8, 256: 63}
"""The largest radius, by width in bits."""

ROOM_FIRST = 256
ROOM_A_QUERY = 16
"""Matches a search has room for before it must come again, and search anew: the larger of
these. The regional codes of a picture meet some hundreds of strangers among 25 million."""

_NONE_DEAD = np.empty(0, np.uint8)


class Segment:
    """One mapped segment. Safe for any number of threads at once: nothing in it changes.

    Attributes:
        path: the file.
        plan: how the codes are cut.
        stamp: where they come from.
        attachments: what is kept with its ids; None where nothing is.
    """

    def __init__(self, path: Path, header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        self.path = path
        self.plan = Plan(**header["plan"])
        self.stamp = Stamp(**header["stamp"])
        self._length: int = header["codes"]
        self._bit_order = tuple(header["bit_order"])
        self._keeps_order = keeps_order(self._bit_order)
        self._search = search if self.plan.paired else search_words
        self._arrays = arrays
        low = arrays["id_low"].reshape(-1, header["id_low_bytes"])
        self._column = IdColumn(header["id_base"], low, arrays["id_directory"])
        self.attachments = (
            SealedAttachments(self._column, arrays["attachment_firsts"], arrays["attachments"])
            if "attachments" in arrays
            else None
        )

    @classmethod
    def open(
        cls, path: Path, hasher_version: str | None = None, keys: SegmentKeys | None = None
    ) -> Self:
        """Map a segment, every byte of it checked.

        Args:
            path: the file.
            hasher_version: the hasher whose codes will be asked for; None for whichever.
            keys: what the segments of its folder are encrypted with; None where they are
                in clear.

        Raises:
            SegmentCorrupt: the file is torn, flipped or no segment.
            SegmentIncompatible: it is of another format version or hasher, or its key is gone.
            OSError: it cannot be read.
        """
        key = None if keys is None else keys.find(path.name)
        if keys is not None and key is None and path.exists():
            raise SegmentIncompatible("There is no key to a segment.", path)
        segment = cls(path, *open_sealed(path, key))
        made_by = segment.stamp.hasher_version
        if hasher_version not in (None, made_by):
            raise SegmentIncompatible(
                f"A segment was made by hasher {made_by}, this version has {hasher_version}.", path
            )
        segment._check_shapes()
        return segment

    def __len__(self) -> int:
        """Return how many codes are in it, dead ones too."""
        return self._length

    @property
    def file_bytes(self) -> int:
        """Return the bytes of the file."""
        return self.path.stat().st_size

    def search(
        self,
        queries: NDArray[np.uint8],
        radii: NDArray[np.int64],
        alive: NDArray[np.uint8] | None = None,
        *,
        first_only: bool = False,
    ) -> Matches:
        """Find every live code within a radius of each query, and none beyond.

        Args:
            queries: uint8 (queries, 8) or (queries, 32), as the codes were given.
            radii: int64 (queries,), bits, inclusive, 0..`RADIUS_MAX`.
            alive: uint8 (rows / 8,) from `all_alive`, or None when no row is dead.
            first_only: one match a query is enough, whichever is met first.

        Returns:
            The matches, each once.

        Raises:
            ValueError: an argument has the wrong shape or a radius is out of range.
        """
        return self.search_counting(queries, radii, alive, first_only=first_only)[0]

    def search_counting(
        self,
        queries: NDArray[np.uint8],
        radii: NDArray[np.int64],
        alive: NDArray[np.uint8] | None = None,
        *,
        first_only: bool = False,
    ) -> tuple[Matches, int]:
        """Search as `search` does, and count the queries for which every code was read.

        They are by plan, or because their buckets were crowded; where that is not
        rare, searches are slow.
        """
        words, radii_int64 = self._words(queries), np.array(radii, np.int64)
        living = _NONE_DEAD if alive is None else alive
        if len(words) != len(radii_int64) or len(living) not in {0, -(-self._length // 8)}:
            raise ValueError(
                f"{len(words)} queries, {len(radii_int64)} radii and {len(living)} bytes of "
                f"living rows do not fit a segment of {self._length} rows."
            )
        room, size = 0, max(ROOM_FIRST, ROOM_A_QUERY * len(words))
        while size > room:
            room = size
            asked = (words, radii_int64, living, first_only, room)
            matches, size, scanned = self._search(*(self._fixed + asked))
        if size < 0:
            raise ValueError(f"A radius is outside 0..{RADIUS_MAX[self.plan.width_bits]} bits.")
        return self._named(matches[:size]), scanned

    def all_alive(self) -> NDArray[np.uint8]:
        """Return the bits of a segment whose rows are all alive, to be changed by `bury`."""
        return np.full(-(-self._length // 8), 255, np.uint8)

    def bury(self, alive: NDArray[np.uint8], ids: NDArray[np.int64]) -> int:
        """Clear the bits of every code of these ids; return how many were alive."""
        rows = self.rows_of(ids)
        bits = (1 << (rows & 7)).astype(np.uint8)
        living = np.count_nonzero(alive[rows >> 3] & bits)
        np.bitwise_and.at(alive, rows >> 3, ~bits)
        return int(living)

    def contains(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell for each id whether the segment has codes of it, dead or alive."""
        return self._column.places_of(ids) >= 0

    def living(self, alive: NDArray[np.uint8] | None, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell for each id whether the segment has codes of it that are alive."""
        places = self._column.places_of(ids)
        present = places >= 0
        if alive is None or not present.any():
            return present
        rows = self._first_row(places[present])
        present[present] = (alive[rows >> 3] >> (rows & 7)) & 1 == 1
        return present

    def attachment(self, alive: NDArray[np.uint8] | None, entry_id: int) -> bytes | None:
        """Return what is kept with an id; None if no code of it is alive or nothing is kept."""
        place = self._column.place_of(entry_id)
        if place < 0 or self.attachments is None:
            return None
        firsts = self._arrays["id_firsts"]
        row = int(firsts[place]) if len(firsts) else place
        if alive is not None and not (int(alive[row >> 3]) >> (row & 7)) & 1:
            return None
        return self.attachments.at(place)

    def rows_of(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the rows of every code of these ids; ids it lacks have none."""
        places = self._column.places_of(np.unique(ids))
        places = places[places >= 0]
        firsts, lasts = self._first_row(places), self._first_row(places + 1)
        counts = lasts - firsts
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        rows: NDArray[np.int64] = np.repeat(firsts, counts) + within
        return rows

    def ids_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the id of each row."""
        return self._column.ids_at(self._place_of(rows))

    def codes_of(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the codes of rows as they were given to `write_segment`."""
        width = self.plan.width_bits // 64
        stored = np.ascontiguousarray(self._arrays["codes"].reshape(-1, width)[rows])
        codes = stored.view(np.uint8).reshape(len(rows), width * 8)
        return codes if self._keeps_order else reordered(codes, tuple(np.argsort(self._bit_order)))

    def _check_shapes(self) -> None:
        """Refuse arrays that do not fit each other: the kernels would read beside them."""
        expected = array_shapes(self.plan, self._length, self._column)
        if self.attachments is not None:
            expected |= attachment_shapes(self._column, len(self._arrays["attachments"]))
        actual = {name: (array.dtype, len(array)) for name, array in self._arrays.items()}
        if actual != {name: (np.dtype(s.dtype), s.length) for name, s in expected.items()} or (
            self.attachments is not None and not self.attachments.fit()
        ):
            raise SegmentCorrupt("The arrays of a segment do not fit each other.", self.path)

    @lazy_property
    def _fixed(self) -> tuple[Any, ...]:
        """Return the arguments of `kernels.search` that are the same in every search."""
        arrays, bits = self._arrays, self.plan.slice_bits
        radius_max = RADIUS_MAX[self.plan.width_bits]
        table = probe_table(self.plan, self._length, radius_max)
        return (
            arrays["codes"],
            arrays["offsets"],
            arrays["sketches"],
            arrays["rows"],
            row_bytes(self._length),
            bits,
            self._length,
            np.array(table, np.int64).reshape(len(table), self.plan.slices),
            np.array(flips(self.plan, radius_max), np.uint32),
            np.array([probe_count(bits, r) for r in range(-1, bits + 1)], np.int64),
            work_max(self.plan, self._length),
        )

    def _words(self, queries: NDArray[np.uint8]) -> NDArray[np.uint64]:
        """Return the queries as stored codes are: uint64 (queries, words), bits in their order."""
        if queries.shape[1:] != (self.plan.width_bits // 8,):
            raise ValueError(
                f"Queries of the shape {queries.shape} are no codes of {self.plan.width_bits} bits."
            )
        ordered = queries if self._keeps_order else reordered(queries, self._bit_order)
        # A copy: the kernels are compiled for writable arrays, and compile anew for others.
        return np.array(ordered, order="C").view(np.uint64)

    def _named(self, matches: NDArray[np.int64]) -> Matches:
        """Put ids for rows, and sort."""
        if not len(matches):
            return Matches.none()
        query_rows, rows, distances = np.ascontiguousarray(matches.T)
        places = self._place_of(rows)
        ids = self._column.ids_at(places)
        # Rows are in the order of ids, and of ordinals within an id.
        order = np.lexsort((rows, distances, query_rows))
        ordinals = rows - self._first_row(places)
        return Matches(query_rows[order], ids[order], ordinals[order], distances[order])

    def _place_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the place in the id column of each row."""
        firsts = self._arrays["id_firsts"]
        if not len(firsts):
            return rows
        return np.searchsorted(firsts, rows.astype(np.uint32), side="right") - 1

    def _first_row(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the first row of each place; the number of rows for the place after the last."""
        firsts = self._arrays["id_firsts"]
        if not len(firsts):
            return places
        beyond = places == len(firsts)
        inside = firsts[np.where(beyond, 0, places)].astype(np.int64)
        return np.where(beyond, self._length, inside)
