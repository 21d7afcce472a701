"""Ways from an image's bytes to hashes: imageward's, in its stages, and its peers'.

One thread each. A peer whose library is not installed is left out, and named.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import cv2
import numpy as np

from imageward_index.decode import decode_reduced
from imageward_index.pdq import hash_orientations
from imageward_index.picture import CHECK_SIDE_MIN, Picture, fingerprint_image, open_picture

Hash = Callable[[bytes], object]
CHECK, BANK, REFERENCE = "imageward, a check", "imageward, to bank", "Pillow + pdqhash"


@dataclass(frozen=True, slots=True)
class Engine:
    """One way.

    Attributes:
        name: as the tables show it.
        gives: what it makes of an image.
        run: does it.
    """

    name: str
    gives: str
    run: Hash


def stages_of(image: bytes) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield the stages of a check, each to be run after the ones before it."""
    yield "decode", lambda: decode_reduced(image, CHECK_SIDE_MIN)
    grey = decode_reduced(image, CHECK_SIDE_MIN)
    yield "hash", lambda: hash_orientations(grey)
    yield "regions", lambda: Picture(grey).coarse


def _check(image: bytes) -> object:
    picture = open_picture(image)
    return picture.whole, picture.trimmed, picture.coarse


def engines() -> tuple[list[Engine], dict[str, str]]:
    """Return all ways that can be gone here, and why the others cannot."""
    cv2.setNumThreads(1)
    found = [
        Engine(CHECK, "PDQ in 8 orientations and regional codes", _check),
        Engine(BANK, "the whole fingerprint that is kept", fingerprint_image),
        Engine("OpenCV alone", "pixels in grey, no hash", _decode(cv2.IMREAD_GRAYSCALE)),
    ]
    missing: dict[str, str] = {}
    for module, package, make in (
        ("pdqhash", "pdqhash", _pdqhash),
        ("imagehash", "ImageHash", _imagehash),
    ):
        if importlib.util.find_spec(module) and importlib.util.find_spec("PIL"):
            found += make()
        else:
            missing[package] = f"not installed: pip install {package} pillow"
    return found, missing


def _decode(flags: int) -> Hash:
    return lambda image: cv2.imdecode(np.frombuffer(image, np.uint8), flags)


def _pdqhash() -> list[Engine]:
    pdqhash, opened = importlib.import_module("pdqhash"), _pillow()

    def run(image: bytes) -> object:
        return pdqhash.compute(np.asarray(opened(image).convert("RGB")))

    return [Engine(REFERENCE, "PDQ in one orientation", run)]


def _imagehash() -> list[Engine]:
    imagehash, opened = importlib.import_module("imagehash"), _pillow()
    return [
        Engine("imagehash pHash", "64 bits", lambda image: imagehash.phash(opened(image))),
        Engine(
            "imagehash crop-resistant",
            "hashes of segments",
            lambda image: imagehash.crop_resistant_hash(opened(image)),
        ),
    ]


def _pillow() -> Callable[[bytes], Any]:
    """Return Pillow's way to open bytes; the library is optional here."""
    module = importlib.import_module("PIL.Image")
    return lambda image: module.open(BytesIO(image))
