"""Real photographs: those that scikit-image bundles, and those of a folder."""

from __future__ import annotations

from pathlib import Path

import skimage.data

# Banked in the demo.
BANKED = (
    "astronaut.png",
    "camera.png",
    "chelsea.png",
    "coffee.png",
    "coins.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "motorcycle_left.png",
    "rocket.jpg",
)
# Pictures of other things.
UNRELATED = ("brick.png", "grass.png", "gravel.png", "moon.png", "retina.jpg")
# The right eye's view of a scene whose left eye's view is banked: another photograph
# of the same thing, nearer to a banked one than an unrelated picture can be.
HARD_NEGATIVE = "motorcycle_right.png"

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


def read(name: str) -> bytes:
    """Return the bytes of a bundled photograph."""
    return (Path(skimage.data.__file__).parent / name).read_bytes()


def read_folder(folder: Path) -> list[bytes]:
    """Read the images of a folder by name."""
    return [path.read_bytes() for path in sorted(folder.iterdir()) if path.suffix in SUFFIXES]


def bank_half(folder: Path) -> list[bytes]:
    """Read every other image of a folder: those that a bank is made up from."""
    return read_folder(folder)[::2]


def other_half(folder: Path) -> list[bytes]:
    """Read the others: those that are sent, and are not to be found."""
    return read_folder(folder)[1::2]
