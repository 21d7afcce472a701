"""Pictures that are not in the bank, and some made to look as if they were.

A kind of negatives is a name and pictures. The deceiving kinds put the same overlay on
banked pictures and on others: whatever an engine finds then is the overlay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.random import Generator

from imageward_bench import overlays
from imageward_bench.edits import Picture, jpeg

Step = Callable[[Picture, Generator], Picture]

QUALITY = 85
OVERLAY_SEED = 99
"""All pictures under an overlay have it at the same place."""

OVERLAYS: dict[str, Step] = {
    "emoji": overlays.emoji,
    "logo": overlays.logo,
    "caption": overlays.caption,
    "meme bar": overlays.meme_bar,
    "meme, two lines": overlays.meme_lines,
    "watermark": overlays.watermark,
    "watermark all over": overlays.watermark_all_over,
    "screenshot, light": overlays.screenshot_light,
    "screenshot, dark": overlays.screenshot_dark,
    "letterbox": overlays.letterboxed,
    "border 25 %": overlays.bordered(0.25, 0),
}


def under(overlay: str, picture: Picture) -> bytes:
    """Put an overlay on a picture, at the place it has on all."""
    return jpeg(OVERLAYS[overlay](picture, np.random.default_rng(OVERLAY_SEED)), QUALITY)


def made_up(rng: Generator, each: int) -> Iterator[tuple[str, Picture]]:
    """Draw flat, dark, striped, noisy and text pictures, so many of each."""
    for number in range(each):
        shade = 255 * number // max(each - 1, 1)
        yield "flat", np.full((400, 600, 3), shade, np.uint8)
        yield "dark", rng.integers(0, 6 + number, (400, 600, 3)).astype(np.uint8)
        waves = np.sin(np.arange(600) / (2 + 3 * number))
        stripes = np.broadcast_to(127 + 100 * np.sign(waves), (400, 600))
        yield "stripes", np.repeat(stripes[..., None], 3, axis=2).astype(np.uint8)
        yield "noise", rng.integers(0, 256, (400, 600, 3)).astype(np.uint8)
        yield "text", _page(rng)


def _page(rng: Generator) -> Picture:
    page = np.full((700, 560, 3), 255, np.uint8)
    words = ["the", "bank", "was", "open", "until", "noon", "and", "nobody", "came", "by"]
    for line in np.linspace(0.07, 0.95, 14):
        text = " ".join(rng.choice(words, 6))
        page = overlays.written(page, text, float(line), overlays.BLACK)
    return page


def overlaid(pictures: Sequence[Picture]) -> Iterator[tuple[str, bytes]]:
    """Put every overlay on every picture."""
    for overlay in OVERLAYS:
        for picture in pictures:
            yield overlay, under(overlay, picture)
