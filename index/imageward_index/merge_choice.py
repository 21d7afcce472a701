"""Which segments are written as one, and when.

Sizes that fall by a factor keep a search to few segments, and rewrite a code as often
as the logarithm of how many there are (Bentley and Saxe, "Decomposable searching
problems", 1980).
"""

from __future__ import annotations

from collections.abc import Sequence

from imageward_index.live_segment import LiveSegment
from imageward_index.segment_writer import CODES_MAX

# A segment is merged with those after it once they hold this share of its codes together.
MERGE_SHARE = 0.25
# A segment is written anew once this share of its rows is withdrawn.
DEAD_SHARE = 0.25
# Codes of a segment that is merged from others, by width in bits: a merge holds about 40
# bytes a code in memory, and regional codes are a hundred times as many as hashes.
MERGED_CODES_MAX = {256: CODES_MAX, 64: 1 << 27}


def choose_merge(segments: Sequence[LiveSegment], codes_max: int) -> Sequence[LiveSegment]:
    """Choose segments to write as one: those too alike in size, or one that is mostly dead.

    Args:
        segments: all there are.
        codes_max: codes of the segment that is written.
    """
    by_size = sorted(segments, key=len, reverse=True)
    for place, live in enumerate(by_size[:-1]):
        smaller = sum(map(len, by_size[place + 1 :]))
        if smaller >= MERGE_SHARE * len(live) and len(live) + smaller <= codes_max:
            return by_size[place:]
    return [live for live in segments if live.dead_rows > DEAD_SHARE * len(live.segment)][:1]


def pack(segments: Sequence[LiveSegment], codes_max: int) -> list[list[LiveSegment]]:
    """Put segments into groups of at most so many codes, the larger first (first fit)."""
    groups: list[list[LiveSegment]] = []
    for live in sorted(segments, key=len, reverse=True):
        fitting = (group for group in groups if sum(map(len, group)) + len(live) <= codes_max)
        group = next(fitting, None)
        if group is None:
            groups.append([live])
        else:
            group.append(live)
    return groups
