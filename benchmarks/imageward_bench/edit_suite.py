"""The edits that recall is measured over: what a picture goes through between two uploads.

An edit takes a colour picture, uint8 of shape (height, width, 3) in OpenCV's order, and
a seeded generator, and returns the bytes of an upload. Each belongs to a family.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.random import Generator

from imageward_bench import overlays, warps
from imageward_bench.edits import Picture, encode, jpeg

QUALITY: Final = 85
"""JPEG quality of every upload whose edit is not an encoding."""

CROPS_PERCENT: Final = (90, 80, 70, 60, 50, 40, 30, 20, 10)

Step = Callable[[Picture, Generator], Picture]


@dataclass(frozen=True, slots=True)
class Edit:
    """One edit: its name, its family and how an upload is made."""

    name: str
    family: str
    apply: Callable[[Picture, Generator], bytes]


def _saved(*steps: Step, quality: int = QUALITY) -> Callable[[Picture, Generator], bytes]:
    """Do the steps one after the other, then save as JPEG."""

    def apply(picture: Picture, rng: Generator) -> bytes:
        for step in steps:
            picture = step(picture, rng)
        return jpeg(picture, quality)

    return apply


def _pixelwise(change: Callable[[Picture], cv2.typing.MatLike]) -> Step:
    """Make a step of a change that needs no generator."""
    return lambda picture, _rng: np.asarray(change(picture)).clip(0, 255).astype(np.uint8)


def _scaled(across: float, down: float) -> Step:
    how = cv2.INTER_AREA if across * down < 1 else cv2.INTER_LINEAR
    return _pixelwise(lambda p: cv2.resize(p, None, fx=across, fy=down, interpolation=how))


def _blurred(sigma: float) -> Step:
    return _pixelwise(lambda p: cv2.GaussianBlur(p, (0, 0), sigma))


def _noisy(sigma: float) -> Step:
    return lambda p, rng: (p + rng.normal(0, sigma, p.shape)).clip(0, 255).astype(np.uint8)


def _gamma(power: float) -> Step:
    return _pixelwise(lambda p: 255 * (p / 255.0) ** power)


def _sepia(picture: Picture) -> cv2.typing.MatLike:
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)[..., None] / 255.0
    return np.asarray(40 + grey * np.array([130.0, 175.0, 210.0]))


def _equalised(picture: Picture) -> cv2.typing.MatLike:
    return np.stack([cv2.equalizeHist(channel) for channel in cv2.split(picture)], axis=2)


def _vignetted(picture: Picture) -> cv2.typing.MatLike:
    rows, columns = picture.shape[:2]
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    return np.asarray(picture * (1 - 0.35 * (x**2 + y**2))[..., None] * np.array([0.85, 1.0, 1.15]))


def _sharpened(picture: Picture) -> cv2.typing.MatLike:
    return cv2.addWeighted(picture, 2.5, cv2.GaussianBlur(picture, (0, 0), 2), -1.5, 0)


def _mirrored(picture: Picture) -> cv2.typing.MatLike:
    return cv2.flip(picture, 1)


MIRROR: Final = _pixelwise(_mirrored)

_STEPS: Final[dict[str, dict[str, tuple[Step, ...]]]] = {
    "resize": {
        "half size": (_scaled(0.5, 0.5),),
        "quarter size": (_scaled(0.25, 0.25),),
        "double size": (_scaled(2, 2),),
        "stretched 1.25": (_scaled(1.25, 1),),
    },
    "colour": {
        "brighter": (_pixelwise(lambda p: p * 1.2 + 30),),
        "low contrast": (_pixelwise(lambda p: p * 0.5 + 70),),
        "gamma 2": (_gamma(2),),
        "greyscale": (_pixelwise(lambda p: cv2.merge([cv2.cvtColor(p, cv2.COLOR_BGR2GRAY)] * 3)),),
        "sepia": (_pixelwise(_sepia),),
        "equalised": (_pixelwise(_equalised),),
        "vignette and tint": (_pixelwise(_vignetted),),
    },
    "blur and noise": {
        "blur 2": (_blurred(2),),
        "blur 4": (_blurred(4),),
        "sharpened": (_pixelwise(_sharpened),),
        "noise 10": (_noisy(10),),
        "noise 25": (_noisy(25),),
    },
    "rotation": {
        "turned 90": (warps.turned_quarters(1),),
        "turned 180": (warps.turned_quarters(2),),
        "turned 3": (warps.turned(3),),
        "turned 10": (warps.turned(10),),
        "turned 45": (warps.turned(45),),
        "turned any angle": (warps.turned_any,),
    },
    "mirror": {
        "mirrored": (MIRROR,),
        "mirrored, turned 270": (MIRROR, warps.turned_quarters(3)),
        "mirrored, turned 20": (MIRROR, warps.turned(20)),
    },
    "border": {
        "border 10 %": (overlays.bordered(0.10, 255),),
        "border 25 %": (overlays.bordered(0.25, 0),),
        "letterbox": (overlays.letterboxed,),
    },
    "overlay": {
        "meme bar": (overlays.meme_bar,),
        "meme, two lines": (overlays.meme_lines,),
        "caption": (overlays.caption,),
        "watermark": (overlays.watermark,),
        "watermark all over": (overlays.watermark_all_over,),
        "logo": (overlays.logo,),
        "three emoji": (overlays.emoji_small,),
        "emoji over 20 %": (overlays.emoji,),
        "drawn over": (overlays.scribble,),
    },
    "screenshot": {
        "screenshot, light": (overlays.screenshot_light,),
        "screenshot, dark": (overlays.screenshot_dark,),
    },
    "collage": {
        "half collage": (overlays.half_collage,),
        "quarter collage": (overlays.quarter_collage,),
    },
    "crop": {f"crop {p} %": (warps.cropped(p / 100),) for p in CROPS_PERCENT},
    "perspective": {
        "perspective, mild": (warps.tilted(0.08),),
        "perspective, photographed": (warps.tilted(0.08), _blurred(1), _noisy(6)),
    },
}
_COMBINED: Final[dict[str, Callable[[Picture, Generator], bytes]]] = {
    "crop 50 % + meme bar + mirror + quality 50": _saved(
        warps.cropped(0.5), overlays.meme_bar, MIRROR, quality=50
    ),
    "turned 8 + crop 70 % + caption": _saved(
        warps.turned(8), warps.cropped(0.7), overlays.caption, quality=70
    ),
    "screenshot + crop 60 % + half size": _saved(
        overlays.screenshot_light, warps.cropped(0.6), _scaled(0.5, 0.5)
    ),
    "border + watermark + gamma + quality 40": _saved(
        overlays.bordered(0.1, 255), overlays.watermark, _gamma(1.5), quality=40
    ),
    "mirror + screenshot + quality 60": _saved(MIRROR, overlays.screenshot_dark, quality=60),
}
_ENCODINGS: Final[dict[str, Callable[[Picture, Generator], bytes]]] = {
    "JPEG quality 30": _saved(quality=30),
    "JPEG quality 10": _saved(quality=10),
    "PNG": lambda picture, _rng: encode(picture),
    "WebP quality 40": lambda picture, _rng: encode(picture, ".webp", cv2.IMWRITE_WEBP_QUALITY, 40),
}

EDITS: Final = (
    *(Edit(name, "encoding", apply) for name, apply in _ENCODINGS.items()),
    *(
        Edit(name, family, _saved(*steps))
        for family, edits in _STEPS.items()
        for name, steps in edits.items()
    ),
    *(Edit(name, "combined", apply) for name, apply in _COMBINED.items()),
)
