"""The compiled loops over chained codes: hang codes in, walk chains, or read all.

Nothing here allocates but the entrance, or checks what it is given.
"""

# numba tells machine integers from each other, the annotations call them all int.
# mypy: disable-error-code="assignment, no-any-return, return-value"

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from imageward_index.intrinsics import (
    WORD_LANES,
    entrance,
    inlined,
    kernel,
    lowest_bit,
    near_words,
    popcount,
    prefetch,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

SLICES = 4
SLICE_BITS = 16
SLICE_MASK = 0xFFFF


class Chains(NamedTuple):
    """The codes and where they hang.

    Attributes:
        codes: uint64 (capacity,).
        heads: int32 (slices * 2**16,), the last row with a slice's value; -1 for none.
        nexts: int32 (capacity * slices,), the row before with the same value; -1 at the end.
        length: rows.
    """

    codes: NDArray[np.uint64]
    heads: NDArray[np.int32]
    nexts: NDArray[np.int32]
    length: int


@inlined
def _slice_of(word: int, part: int) -> int:
    """Return slice `part` of a code."""
    return np.int64((word >> np.uint64(part * SLICE_BITS)) & np.uint64(SLICE_MASK))


@inlined
def _head_of(value: int, part: int) -> int:
    """Return where the chain of a slice's value begins."""
    return (part << SLICE_BITS) + value


@kernel
def hang(
    codes: NDArray[np.uint64],
    heads: NDArray[np.int32],
    nexts: NDArray[np.int32],
    first: int,
    end: int,
) -> None:
    """Put the rows first..end - 1 at the heads of their chains."""
    for row in range(first, end):
        for part in range(SLICES):
            head = _head_of(_slice_of(codes[row], part), part)
            nexts[row * SLICES + part] = heads[head]
            heads[head] = row


@inlined
def _report(matches: NDArray[np.int64], size: int, query: int, row: int, distance: int) -> None:
    """Write a match down where there is room."""
    if size < len(matches):
        matches[size, 0] = query
        matches[size, 1] = row
        matches[size, 2] = distance


@kernel
def _found_before(differing: int, part: int, probe_radii: NDArray[np.int64]) -> bool:
    """Tell whether a slice before `part` finds a code that differs so."""
    for earlier in range(part):
        if popcount(np.uint64(_slice_of(differing, earlier))) <= probe_radii[earlier]:
            return True
    return False


@kernel
def _walk(
    chains: Chains,
    probe_radii: NDArray[np.int64],
    masks: NDArray[np.int64],
    volumes: NDArray[np.int64],
    walked_max: int,
    word: int,
    radius: int,
    query: int,
    matches: NDArray[np.int64],
    size: int,
) -> int:
    """Walk the chains of a query; return the matches so far, -1 where that is too far."""
    walked = 0
    for part in range(SLICES):
        own, probes = _slice_of(word, part), volumes[probe_radii[part] + 1]
        for probe in range(probes):
            row = chains.heads[_head_of(own ^ masks[probe], part)]
            prefetch(chains.codes, row)
            prefetch(chains.nexts, row * SLICES)
        for probe in range(probes):
            row = chains.heads[_head_of(own ^ masks[probe], part)]
            while row >= 0:
                differing = chains.codes[row] ^ word
                distance = popcount(differing)
                if distance <= radius and not _found_before(differing, part, probe_radii):
                    _report(matches, size, query, row, distance)
                    size += 1
                walked += 1
                row = chains.nexts[row * SLICES + part]
            if walked > walked_max:
                return -1
    return size


@kernel
def _read_all(
    chains: Chains, word: int, radius: int, query: int, matches: NDArray[np.int64], size: int
) -> int:
    """Compare every code with a query; return the matches so far."""
    whole = chains.length - chains.length % WORD_LANES
    for first in range(0, whole, WORD_LANES):
        near = near_words(chains.codes, first, np.uint64(word), np.uint64(radius))
        while near != 0:
            row = first + lowest_bit(near)
            near &= near - np.uint64(1)
            _report(matches, size, query, row, popcount(chains.codes[row] ^ word))
            size += 1
    for row in range(whole, chains.length):
        distance = popcount(chains.codes[row] ^ word)
        if distance <= radius:
            _report(matches, size, query, row, distance)
            size += 1
    return size


@entrance
def search_chains(
    codes: NDArray[np.uint64],
    heads: NDArray[np.int32],
    nexts: NDArray[np.int32],
    length: int,
    probe_radii: NDArray[np.int64],
    masks: NDArray[np.int64],
    volumes: NDArray[np.int64],
    walked_max: int,
    words: NDArray[np.uint64],
    radii: NDArray[np.int64],
    room: int,
) -> tuple[NDArray[np.int64], int]:
    """Find every row within the radii.

    Args:
        codes: with heads, nexts and length, the fields of `Chains`.
        heads: see there.
        nexts: see there.
        length: see there.
        probe_radii: int64 (radius_max + 1, slices).
        masks: int64, the masks of a slice by rising weight.
        volumes: int64, masks of a weight < i.
        walked_max: codes that a query may walk past before it reads all instead.
        words: uint64 (queries,), the queries.
        radii: int64 (queries,), 0..radius_max.
        room: matches that there is room for.

    Returns:
        int64 (room, 3) of query, row and distance, each match once, and how many there
        are: if more than `room`, come again with so much.
    """
    chains = Chains(codes, heads, nexts, length)
    matches, size = np.empty((room, 3), np.int64), 0
    for query in range(len(words)):
        word, radius = words[query], radii[query]
        found = _walk(
            chains,
            probe_radii[radius],
            masks,
            volumes,
            walked_max,
            word,
            radius,
            query,
            matches,
            size,
        )
        if found < 0:
            found = _read_all(chains, word, radius, query, matches, size)
        size = found
    return matches, size
