"""Which banked pictures the hits of a query's codes speak for, the likeliest first.

A hit is worth one over the number of pictures its code hits: a code of a phone's status
bar hits every banked screenshot and says little; counting plainly, screenshots would
crowd out the true picture.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

SEEDS_PER_ENTRY_MAX: Final = 3


class CodeHits(NamedTuple):
    """Stored codes near the codes of a query, in any order.

    Attributes:
        queries: int64, (m,), rows of the query's codes.
        entries: int64, (m,), the entries that the stored codes are of.
        ordinals: int64, (m,), which of its entry's codes each is.
        distances: int64, (m,), in bits.
    """

    queries: NDArray[np.int64]
    entries: NDArray[np.int64]
    ordinals: NDArray[np.int64]
    distances: NDArray[np.int64]


class Candidate(NamedTuple):
    """An entry that hits speak for: pairs of rows, the query's and the entry's, to start from."""

    entry_id: int
    vote: float
    seeds: tuple[tuple[int, int], ...]


def rank_candidates(hits: CodeHits, candidates_max: int) -> list[Candidate]:
    """Order entries by the sum of their hits' worth, and give each its best seeds."""
    if not len(hits.queries):
        return []
    entries, of_entry = np.unique(hits.entries, return_inverse=True)
    # A code that hits an entry twice speaks for it once.
    keys = np.unique(hits.queries * len(entries) + of_entry)
    queries = keys // len(entries)
    worth_of_query = 1 / np.maximum(np.bincount(queries), 1)
    votes = np.bincount(keys % len(entries), worth_of_query[queries], len(entries))
    ranking = np.lexsort((entries, -votes))[:candidates_max]
    seeds = _choose_seeds(hits, of_entry, worth_of_query[hits.queries], ranking)
    return [
        Candidate(int(entries[i]), float(votes[i]), chosen)
        for i, chosen in zip(ranking, seeds, strict=True)
    ]


def _choose_seeds(
    hits: CodeHits,
    of_entry: NDArray[np.int64],
    worth: NDArray[np.float64],
    ranking: NDArray[np.int64],
) -> list[tuple[tuple[int, int], ...]]:
    """For every ranked entry its rarest, then nearest hits."""
    order = np.lexsort((hits.ordinals, hits.queries, hits.distances, -worth, of_entry))
    firsts = np.searchsorted(of_entry[order], ranking)
    ends = np.searchsorted(of_entry[order], ranking, side="right")
    chosen = []
    for first, end in zip(firsts, np.minimum(ends, firsts + SEEDS_PER_ENTRY_MAX), strict=True):
        rows = order[first:end]
        pairs = zip(hits.queries[rows].tolist(), hits.ordinals[rows].tolist(), strict=True)
        chosen.append(tuple(pairs))
    return chosen
