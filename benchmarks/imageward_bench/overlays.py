"""Edits that put something around or over a picture: bars, text, emoji, an app's chrome.

What is put there is the same for every picture, so that two pictures under one overlay
are a fair trap for whoever compares them.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.random import Generator

from imageward_bench.edits import Picture

Step = Callable[[Picture, Generator], Picture]
Colour = tuple[int, int, int]

FONT = cv2.FONT_HERSHEY_DUPLEX
WHITE: Colour = (255, 255, 255)
BLACK: Colour = (0, 0, 0)
EMOJI_SHARE = 0.20
PHONE = (540, 1080)
"""Pixels of the phone whose screen is shot: width, height."""


def bordered(share: float, shade: int) -> Step:
    """Put an even border around, `share` of the sides wide on each."""

    def border(picture: Picture, _rng: Generator) -> Picture:
        rows, columns = (round(side * share) for side in picture.shape[:2])
        value = (shade, shade, shade)
        return _picture(
            cv2.copyMakeBorder(
                picture, rows, rows, columns, columns, cv2.BORDER_CONSTANT, value=value
            )
        )

    return border


def letterboxed(picture: Picture, _rng: Generator) -> Picture:
    """Put black bars above and below, up to a square or 30 % on each side."""
    bar = max((picture.shape[1] - picture.shape[0]) // 2, round(picture.shape[0] * 0.3))
    return _picture(cv2.copyMakeBorder(picture, bar, bar, 0, 0, cv2.BORDER_CONSTANT, value=BLACK))


def meme_bar(picture: Picture, _rng: Generator) -> Picture:
    """Put a white bar with a line of text above."""
    bar = np.full((picture.shape[1] // 5, picture.shape[1], 3), 255, np.uint8)
    return np.vstack([written(bar, "WHEN IT IS MONDAY AGAIN", 0.6, BLACK), picture])


def meme_lines(picture: Picture, _rng: Generator) -> Picture:
    """Write two outlined lines over the top and the bottom."""
    done = written(picture, "ONE DOES NOT SIMPLY", 0.12, WHITE, outlined=True)
    return written(done, "WALK OUT OF HERE", 0.9, WHITE, outlined=True)


def caption(picture: Picture, _rng: Generator) -> Picture:
    """Lay a dark band with text over the lower part, as messengers do."""
    done = picture.copy()
    rows = picture.shape[0]
    band = slice(round(rows * 0.66), round(rows * 0.80))
    done[band] = done[band] // 3
    return written(done, "look who it is :)", 0.755, WHITE)


def watermark(picture: Picture, _rng: Generator) -> Picture:
    """Lay one line of half-clear text across the middle."""
    return _laid_over(picture, (0.53,))


def watermark_all_over(picture: Picture, _rng: Generator) -> Picture:
    """Lay half-clear text all over."""
    return _laid_over(picture, (0.15, 0.35, 0.55, 0.75, 0.95))


def _laid_over(picture: Picture, places: tuple[float, ...]) -> Picture:
    over = np.zeros_like(picture)
    for at in places:
        over = written(over, "stock photo  stock photo", at, WHITE)
    return _picture(cv2.addWeighted(picture, 1, over, 0.35, 0))


def logo(picture: Picture, _rng: Generator) -> Picture:
    """Put a coloured logo into a corner."""
    done = picture.copy()
    rows, columns = picture.shape[:2]
    size = min(rows, columns) // 6
    centre = (columns - size, rows - size)
    cv2.circle(done, centre, size * 3 // 4, (40, 40, 220), -1, cv2.LINE_AA)
    cv2.putText(
        done, "TV", (centre[0] - size // 2, centre[1] + size // 4), FONT, size / 40, WHITE, 2
    )
    return done


def emoji(picture: Picture, rng: Generator) -> Picture:
    """Cover 20 % of the picture by one emoji anywhere."""
    rows, columns = picture.shape[:2]
    radius = min((EMOJI_SHARE * rows * columns / np.pi) ** 0.5, min(rows, columns) / 2 - 1)
    x, y = rng.uniform(radius, columns - radius), rng.uniform(radius, rows - radius)
    return _with_emoji(picture, x, y, radius)


def emoji_small(picture: Picture, rng: Generator) -> Picture:
    """Cover three places by small emoji."""
    rows, columns = picture.shape[:2]
    for _ in range(3):
        x, y = rng.uniform(0.1, 0.9, 2) * (columns, rows)
        picture = _with_emoji(picture, x, y, min(rows, columns) * 0.1)
    return picture


def scribble(picture: Picture, rng: Generator) -> Picture:
    """Draw over it with a thick pen."""
    done = picture.copy()
    points = rng.uniform(0, 1, (9, 2)) * (picture.shape[1], picture.shape[0])
    width = max(2, min(picture.shape[:2]) // 30)
    cv2.polylines(done, [points.astype(np.int32)], False, (60, 20, 230), width, cv2.LINE_AA)  # noqa: FBT003 OpenCV's own signature
    return done


def screenshot_light(picture: Picture, rng: Generator) -> Picture:
    """Shoot the screen of a phone that shows it in a light app."""
    return _screen(picture, rng, 250, 30)


def screenshot_dark(picture: Picture, rng: Generator) -> Picture:
    """Shoot the screen of a phone that shows it in a dark app."""
    return _screen(picture, rng, 18, 230)


def half_collage(picture: Picture, rng: Generator) -> Picture:
    """Put another picture of the same size beside it."""
    return np.hstack([picture, _stranger(picture, rng)])


def quarter_collage(picture: Picture, rng: Generator) -> Picture:
    """Make it one of four."""
    others = [_stranger(picture, rng) for _ in range(3)]
    return np.vstack([np.hstack([others[0], others[1]]), np.hstack([others[2], picture])])


def _picture(array: cv2.typing.MatLike) -> Picture:
    return array.astype(np.uint8, copy=False)


def written(
    picture: Picture, text: str, at: float, colour: Colour, *, outlined: bool = False
) -> Picture:
    """Write a line over 90 % of the width, its foot at a share of the height."""
    done = picture.copy()
    rows, columns = picture.shape[:2]
    (width, _), _ = cv2.getTextSize(text, FONT, 1.0, 2)
    scale = 0.9 * columns / width
    foot = (round(0.05 * columns), round(at * rows))
    if outlined:
        cv2.putText(done, text, foot, FONT, scale, BLACK, max(3, round(6 * scale)), cv2.LINE_AA)
    cv2.putText(done, text, foot, FONT, scale, colour, max(1, round(2 * scale)), cv2.LINE_AA)
    return done


def _with_emoji(picture: Picture, x: float, y: float, radius: float) -> Picture:
    done = picture.copy()
    at = np.array([x, y])
    cv2.circle(done, _point(at), round(radius), (60, 210, 255), -1, cv2.LINE_AA)
    for side in (-1, 1):
        eye = at + radius * np.array([0.35 * side, -0.25])
        cv2.circle(done, _point(eye), max(1, round(radius * 0.12)), BLACK, -1, cv2.LINE_AA)
    axes = (max(1, round(radius * 0.55)), max(1, round(radius * 0.5)))
    mouth = _point(at + np.array([0, radius * 0.1]))
    cv2.ellipse(done, mouth, axes, 0, 10, 170, BLACK, max(1, round(radius * 0.09)), cv2.LINE_AA)
    return done


def _point(at: np.ndarray) -> tuple[int, int]:
    return round(float(at[0])), round(float(at[1]))


def _screen(picture: Picture, rng: Generator, paper: int, ink: int) -> Picture:
    """Fit the picture to the phone's width, between status bar, head, and buttons."""
    width, height = PHONE
    screen = np.full((height, width, 3), paper, np.uint8)
    colour = (ink, ink, ink)
    scale = min(width / picture.shape[1], (height - 420) / picture.shape[0])
    shown = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    top, left = 180, (width - shown.shape[1]) // 2
    screen[top : top + shown.shape[0], left : left + shown.shape[1]] = shown
    _chrome(screen, colour, top + shown.shape[0])
    cv2.putText(
        screen,
        f"{rng.integers(2, 999)} likes",
        (24, top + shown.shape[0] + 100),
        FONT,
        0.8,
        colour,
        1,
        cv2.LINE_AA,
    )
    return screen


def _chrome(screen: Picture, colour: Colour, foot: int) -> None:
    cv2.putText(screen, "12:47", (24, 40), FONT, 0.8, colour, 1, cv2.LINE_AA)
    cv2.rectangle(screen, (470, 20), (515, 42), colour, 2)
    cv2.rectangle(screen, (474, 24), (500, 38), colour, -1)
    cv2.circle(screen, (60, 120), 36, (180, 120, 60), -1, cv2.LINE_AA)
    cv2.putText(screen, "some_user_name", (115, 130), FONT, 0.8, colour, 1, cv2.LINE_AA)
    for place in range(3):
        cv2.circle(screen, (45 + 70 * place, foot + 45), 20, colour, 3, cv2.LINE_AA)
    cv2.putText(
        screen, "some_user_name what a day", (24, foot + 145), FONT, 0.7, colour, 1, cv2.LINE_AA
    )
    for place in range(5):
        at = (54 + 108 * place, 1035)
        cv2.rectangle(screen, (at[0] - 18, at[1] - 18), (at[0] + 18, at[1] + 18), colour, 3)


def _stranger(picture: Picture, rng: Generator) -> Picture:
    """Make something that is no picture of the bank, of the same size."""
    rows, columns = picture.shape[:2]
    done = cv2.resize(
        rng.integers(0, 256, (12, 16, 3)).astype(np.uint8),
        (columns, rows),
        interpolation=cv2.INTER_CUBIC,
    )
    for _ in range(25):
        centre = (int(rng.integers(columns)), int(rng.integers(rows)))
        shade = [int(c) for c in rng.integers(0, 256, 3)]
        cv2.circle(done, centre, int(rng.integers(5, 60)), shade, -1, cv2.LINE_AA)
    return _picture(done)
