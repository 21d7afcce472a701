"""What a search finds, whichever part of the index found it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

# Made once, as most searches find nothing; nobody writes to what was found.
_NOTHING = np.empty((4, 0), dtype=np.int64)


class Matches(NamedTuple):
    """Codes found near queries, sorted by query, distance, id and ordinal, each once.

    Attributes:
        queries: row of the query in the batch, int64, shape (m,).
        ids: id of the code, int64, shape (m,).
        ordinals: the code's place among the codes of its id, int64, shape (m,).
        distances: Hamming distance in bits, int64, shape (m,).
    """

    queries: NDArray[np.int64]
    ids: NDArray[np.int64]
    ordinals: NDArray[np.int64]
    distances: NDArray[np.int64]

    @classmethod
    def none(cls) -> Self:
        """Return no matches."""
        return cls(*_NOTHING)

    @classmethod
    def join(cls, parts: Sequence[Matches]) -> Self:
        """Put the matches of several parts of an index into one order, each once.

        A code stands in two parts only while it moves from one to the other.
        """
        found = [part for part in parts if len(part.ids)]
        if not found:
            return cls.none()
        queries, ids, ordinals, distances = map(np.concatenate, zip(*found, strict=True))
        order = np.lexsort((ordinals, ids, distances, queries))
        keep = np.ones(len(order), dtype=np.bool_)
        for column in (queries, ids, ordinals):
            column[:] = column[order]
        if len(order) > 1:
            keep[1:] = (
                (queries[1:] != queries[:-1])
                | (ids[1:] != ids[:-1])
                | (ordinals[1:] != ordinals[:-1])
            )
        return cls(queries[keep], ids[keep], ordinals[keep], distances[order][keep])
