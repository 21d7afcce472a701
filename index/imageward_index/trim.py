"""Where the content of a picture lies: without borders, bars and an app's chrome.

A row of a border, a bar with text or an app's chrome is mostly of one shade; a row of a
photograph seldom is. The content is the largest block of rows that are not, and of its
columns likewise. A photograph before a plain wall loses some wall, which costs nothing:
what is left is a crop of it.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from imageward_index.decode import cv2

LOOK_SIDE: Final = 256
"""Pixels of the longer side of the reduced picture that is looked at."""

PAPER_SHARE: Final = 0.5
SHADE_REACH: Final = 3
EDGE_SHARE: Final = 0.95
GAP_SHARE: Final = 0.02
CONTENT_SHARE_MIN: Final = 0.2
TRIM_SHARE_MIN: Final = 0.03
ROUNDS: Final = 2


class Box(NamedTuple):
    """A rectangle of a picture, in pixels; ends are past the last."""

    top: int
    bottom: int
    left: int
    right: int


def find_content(grey: NDArray[np.uint8]) -> Box | None:
    """Find the box of the content; None where there is nothing to trim."""
    rows, columns = grey.shape
    scale = min(1.0, LOOK_SIDE / max(rows, columns))
    size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    # Nearest, not the mean: text between paper must leave the paper its shade.
    look = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_NEAREST), np.uint8)
    top, bottom, left, right = 0, look.shape[0], 0, look.shape[1]
    for _ in range(ROUNDS):
        first, last = _largest_run(_paper_lines(look[top:bottom, left:right]))
        top, bottom = top + first, top + last
        first, last = _largest_run(_paper_lines(look[top:bottom, left:right].T))
        left, right = left + first, left + last
    kept = (bottom - top) / look.shape[0], (right - left) / look.shape[1]
    if min(kept) > 1 - TRIM_SHARE_MIN or min(kept) < CONTENT_SHARE_MIN:
        return None
    down, across = rows / look.shape[0], columns / look.shape[1]
    return Box(round(top * down), round(bottom * down), round(left * across), round(right * across))


def _paper_lines(look: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Say for each row whether it is mostly of the shade that the first or the last row has."""
    paper = np.zeros(len(look), np.bool_)
    for line in (0, -1):
        shade = _median(look[line])
        # Of a photograph, which has no paper at its edges, the rest need not be looked at.
        if _near(look[line], shade).mean() >= EDGE_SHARE:
            paper |= _near(look, shade).mean(axis=1) >= PAPER_SHARE
    return paper


def _near(look: NDArray[np.uint8], shade: int) -> NDArray[np.bool_]:
    return np.asarray(cv2.inRange(look, shade - SHADE_REACH, shade + SHADE_REACH), np.bool_)


def _median(line: NDArray[np.uint8]) -> int:
    """The middle shade; of two the mean, rounded down."""
    ordered = np.sort(line)
    return (int(ordered[(len(line) - 1) // 2]) + int(ordered[len(line) // 2])) // 2


def _largest_run(paper: NDArray[np.bool_]) -> tuple[int, int]:
    """The longest run of lines that are no paper, small gaps bridged; all if there is none."""
    content = np.flatnonzero(~paper)
    if not len(content):
        return 0, len(paper)
    gap = max(1, round(GAP_SHARE * len(paper)))
    breaks = np.flatnonzero(np.diff(content) > gap + 1)
    firsts = content[np.r_[0, breaks + 1]]
    lasts = content[np.r_[breaks, len(content) - 1]] + 1
    longest = int(np.argmax(lasts - firsts))
    return int(firsts[longest]), int(lasts[longest])
