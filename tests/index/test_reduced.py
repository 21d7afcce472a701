"""Large JPEGs decoded at a reduced scale: how near that stays to all of their pixels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from imageward_bench.edit_more import enlarged
from imageward_bench.edits import decode, encode, jpeg
from imageward_bench.memory_bank import MemoryBank
from imageward_index.cascade import look_up
from imageward_index.decode import cv2, decode_grey, decode_reduced
from imageward_index.pdq import hash_grey
from imageward_index.picture import CHECK_SIDE_MIN, fingerprint_image, open_picture

Photograph = Callable[[str], bytes]

BITS_MAX = 12


def large(photograph: Photograph, name: str, megapixels: float) -> bytes:
    """A photograph enlarged, with grain, as a JPEG."""
    picture = enlarged(decode(photograph(name)), megapixels, np.random.default_rng(3))
    return jpeg(picture, 85)


def bits_between(one: bytes, other: bytes) -> int:
    """Hamming distance of two hashes."""
    return (int.from_bytes(one) ^ int.from_bytes(other)).bit_count()


@pytest.mark.parametrize("name", ["coffee.png", "rocket.jpg"])
@pytest.mark.parametrize("megapixels", [8, 12])
def test_hashes_stay_near(name: str, megapixels: float, photograph: Photograph) -> None:
    """A check's hash is as far from that of all pixels as halving moves it, a bank's is that."""
    image = large(photograph, name, megapixels)
    full = decode_grey(image)
    rows, columns = (side // 2 for side in full.shape)
    halved = np.asarray(cv2.resize(full, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)
    reduced = open_picture(image).whole.upright.code

    assert bits_between(hash_grey(halved).code, reduced) <= 2
    assert bits_between(hash_grey(full).code, reduced) <= BITS_MAX
    assert fingerprint_image(image).whole == hash_grey(full)


@pytest.mark.parametrize(
    ("sides", "longer_side_min", "expected"),
    [
        ((3024, 4032), CHECK_SIDE_MIN, (1512, 2016)),
        ((1200, 1600), CHECK_SIDE_MIN, (1200, 1600)),
        ((1500, 8000), CHECK_SIDE_MIN, (1500, 8000)),
        ((1600, 8000), CHECK_SIDE_MIN, (800, 4000)),
        ((3024, 4032), 960, (756, 1008)),
    ],
)
def test_enough_pixels_stay(
    sides: tuple[int, int], longer_side_min: int, expected: tuple[int, int]
) -> None:
    """The longer side keeps so many pixels, the shorter half of them."""
    picture = np.full((*sides, 3), 90, np.uint8)

    assert decode_reduced(jpeg(picture), longer_side_min).shape == expected
    assert decode_reduced(encode(picture[:100, :100]), 10).shape == (100, 100)


def test_a_small_copy_and_a_crop_are_found_by_a_large_original(photograph: Photograph) -> None:
    """What was banked from 12 megapixels finds a small copy, and its crop finds the original."""
    picture = decode(photograph("coffee.png"))
    original = large(photograph, "coffee.png", 12)
    crop = jpeg(np.ascontiguousarray(picture[80:320, 120:480]))

    assert look_up(open_picture(crop), MemoryBank([fingerprint_image(original)])).certain
    assert look_up(open_picture(original), MemoryBank([fingerprint_image(crop)])).certain
