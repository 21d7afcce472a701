"""Pictures to send, cut from photographs: those that scikit-image bundles, or a folder's.

Banked ones and others are cut from different photographs: a crop of a banked
picture is one that the service is there to find.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from imageward_bench import photographs
from imageward_bench.load.mix import Format
from imageward_index.decode import decode_grey
from imageward_index.pdq import QUALITY_MIN, hash_grey

BANKED_FROM = ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg")
OTHERS_FROM = ("camera.png", "hubble_deep_field.jpg", "ihc.png", "retina.jpg", "coins.png")
ASPECT = 4 / 3
# A crop keeps at least this share of each of the photograph's sides.
CROP_MIN = 0.6
ATTEMPTS_MAX = 50

_QUALITY_FLAGS = {"jpeg": cv2.IMWRITE_JPEG_QUALITY, "webp": cv2.IMWRITE_WEBP_QUALITY}

Pixels = NDArray[np.uint8]


def make_picture(
    megapixels: float,
    kind: Format,
    quality: int,
    *,
    banked: bool,
    rng: np.random.Generator,
    others: Sequence[bytes] = (),
) -> bytes:
    """Return a picture of about so many megapixels, with enough detail to be told apart.

    Args:
        megapixels: of the picture; a photograph is enlarged to it where it is smaller.
        kind: its format.
        quality: of JPEG and WebP.
        banked: whether it is cut from a photograph that is banked.
        rng: chooses photograph and cut.
        others: photographs that others are cut from; bundled ones if there are none.
    """
    for _ in range(ATTEMPTS_MAX):
        if banked or not others:
            names = BANKED_FROM if banked else OTHERS_FROM
            whole = _bundled(names[rng.integers(len(names))])
        else:
            whole = _decoded(others[int(rng.integers(len(others)))])
        pixels = _crop(whole, rng)
        image = _encode(_resize(pixels, megapixels), kind, quality)
        if hash_grey(decode_grey(image)).quality >= QUALITY_MIN:  # type: ignore[operator]
            return image
    raise AssertionError("none of so many photographs has detail; give others")


@functools.cache
def _bundled(name: str) -> Pixels:
    return _decoded(photographs.read(name))


def _decoded(image: bytes) -> Pixels:
    return np.asarray(cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR), np.uint8)


def _crop(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    rows, columns = pixels.shape[:2]
    high, wide = (int(side * rng.uniform(CROP_MIN, 1)) for side in (rows, columns))
    top, left = rng.integers(rows - high + 1), rng.integers(columns - wide + 1)
    return pixels[top : top + high, left : left + wide]


def _resize(pixels: Pixels, megapixels: float) -> Pixels:
    high = round((megapixels * 1e6 / ASPECT) ** 0.5)
    size = (round(high * ASPECT), high)
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_CUBIC), np.uint8)


def _encode(pixels: Pixels, kind: Format, quality: int) -> bytes:
    flags = [_QUALITY_FLAGS[kind], quality] if kind in _QUALITY_FLAGS else []
    suffix = {"jpeg": ".jpg", "png": ".png", "webp": ".webp"}[kind]
    done, encoded = cv2.imencode(suffix, pixels, flags)
    assert done
    return encoded.tobytes()
