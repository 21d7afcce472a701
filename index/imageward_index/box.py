"""A rectangle of an image, told so that it holds at any resolution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Box:
    """A part of an image, in shares of its width and height: 0..1, width and height over 0."""

    left: float
    top: float
    width: float
    height: float


WHOLE_IMAGE: Final = Box(0.0, 0.0, 1.0, 1.0)
