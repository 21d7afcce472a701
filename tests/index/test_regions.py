"""Regional codes: the mirror by its mask, the angle by turning, the same picture the same codes."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from imageward_index.dct import cosines, lowest_frequencies
from imageward_index.decode import cv2, decode_grey
from imageward_index.pyramid import build_pyramid
from imageward_index.region_kernels import sample, sign_patch, take_patch
from imageward_index.regions import (
    BANK_CODES_MAX,
    BANK_SIDE,
    CODE_BITS,
    MIRROR_MASK,
    Regions,
    find_regions,
)

Grey = NDArray[np.uint8]
Photograph = Callable[[str], bytes]

NAMES = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")


def regions_of(grey: Grey, codes_max: int = BANK_CODES_MAX) -> Regions:
    """The regions of a picture as a bank has them."""
    return find_regions(build_pyramid(grey, BANK_SIDE), codes_max)


def share_found(regions: Regions, others: Regions, radius_bits: int, reach: float) -> float:
    """How many codes have one near in bits and in place among the others."""
    bits = np.bitwise_count(regions.codes[:, None] ^ others.codes[None, :])
    gaps = np.linalg.norm(regions.frames[:, None, :2] - others.frames[None, :, :2], axis=2)
    return float(((bits <= radius_bits) & (gaps <= reach)).any(axis=1).mean())


def room_for(basis: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Room for `sign_patch` to work in."""
    return np.empty(basis.shape), np.empty((len(basis), len(basis)))


@pytest.mark.parametrize("name", NAMES)
def test_the_same_picture_has_the_same_codes(name: str, photograph: Photograph) -> None:
    """Two runs over the same bytes agree in every bit and every place."""
    first, second = (regions_of(decode_grey(photograph(name))) for _ in range(2))

    assert first.codes.tolist() == second.codes.tolist()
    assert first.frames.tolist() == second.frames.tolist()


@pytest.mark.parametrize("name", NAMES)
def test_a_mirrored_picture_has_masked_codes(name: str, photograph: Photograph) -> None:
    """Mirroring codes and places is mirroring the pixels, up to interpolation."""
    grey = decode_grey(photograph(name))
    mirrored = regions_of(np.ascontiguousarray(grey[:, ::-1]))
    masked = regions_of(grey).mirror()

    assert share_found(masked, mirrored, 6, 0.004) >= 0.9


def test_the_mirror_of_a_mirror_is_the_picture(photograph: Photograph) -> None:
    """Mirroring twice changes nothing."""
    regions = regions_of(decode_grey(photograph("chelsea.png")))
    twice = regions.mirror().mirror()

    assert regions.codes.tolist() == twice.codes.tolist()
    assert np.abs(twice.frames - regions.frames).max() < 1e-9


def test_the_mask_is_the_odd_frequencies() -> None:
    """A patch that is swapped across its angle has its code under the mask, exactly."""
    us, vs = lowest_frequencies(16, CODE_BITS)
    basis = cosines(16, int(max(us.max(), vs.max())))
    for seed in range(20):
        patch = np.random.default_rng(seed).normal(size=(16, 16))
        code, _ = sign_patch(patch, basis, us, vs, *room_for(basis))
        swapped, _ = sign_patch(patch[::-1].copy(), basis, us, vs, *room_for(basis))
        assert int(code) ^ int(MIRROR_MASK) == int(swapped)


def test_codes_are_the_signs_of_opencv_s_dct() -> None:
    """The compiled DCT has the signs of OpenCV's own at the lowest frequencies."""
    us, vs = lowest_frequencies(16, CODE_BITS)
    basis = cosines(16, int(max(us.max(), vs.max())))
    for seed in range(20):
        patch = np.random.default_rng(seed).normal(size=(16, 16))
        code, energy = sign_patch(patch, basis, us, vs, *room_for(basis))
        reference = cv2.dct(patch)[us, vs]
        expected = sum(1 << bit for bit, value in enumerate(reference) if value > 0)
        assert expected == int(code)
        assert energy == pytest.approx(float((reference**2).sum()))


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_turned_picture_has_the_same_codes(quarters: int, photograph: Photograph) -> None:
    """Codes follow the picture, so nine of ten are found after a turn by a quarter."""
    grey = decode_grey(photograph("astronaut.png"))
    regions = regions_of(grey)
    turned = regions_of(np.ascontiguousarray(np.rot90(grey, quarters)))
    bits = np.bitwise_count(regions.codes[:, None] ^ turned.codes[None, :])

    assert (bits.min(axis=1) <= 6).mean() >= 0.9
    pairs = np.argwhere(bits <= 2)
    turns = turned.frames[pairs[:, 1], 3] - regions.frames[pairs[:, 0], 3]
    off = np.angle(np.exp(1j * (turns + quarters * math.pi / 2)))
    assert np.median(np.abs(off)) < 0.05


def test_a_patch_is_opencv_s_warp(photograph: Photograph) -> None:
    """Sampling a turned patch is what OpenCV's affine warp does."""
    grey = decode_grey(photograph("camera.png")).astype(np.float32)
    step, angle, y, x = 1.7, 0.6, 200.3, 150.8
    down, across = step * math.sin(angle), step * math.cos(angle)
    patch = np.empty((16, 16))
    take_patch(grey.ravel(), 0, *grey.shape, y, x, down, across, patch)
    middle = 7.5
    to_picture = np.array(
        [
            [across, -down, x - middle * across + middle * down],
            [down, across, y - middle * down - middle * across],
        ]
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    expected = cv2.warpAffine(grey, to_picture, (16, 16), flags=flags)

    # OpenCV rounds places to a 32nd of a pixel.
    assert np.abs(expected - patch).max() < 6


@pytest.mark.parametrize("shape", [(30, 44), (18, 18), (60, 9)])
def test_a_patch_is_its_samples(shape: tuple[int, int]) -> None:
    """Wherever its middle is, in the picture or over its borders, each sample is interpolated."""
    rng = np.random.default_rng(8)
    picture = rng.uniform(0, 255, shape).astype(np.float32)
    patch = np.empty((8, 8))
    at = np.arange(8) - 3.5
    us, vs = np.meshgrid(at, at)
    for y, x, angle, step in rng.uniform((-2, -2, -4, 0.3), (*shape, 4, 2.5), (200, 4)):
        down, across = step * math.sin(angle), step * math.cos(angle)
        take_patch(picture.ravel(), 0, *shape, y, x, down, across, patch)
        places = np.dstack([y + us * down + vs * across, x + us * across - vs * down])
        expected = [[sample(picture.ravel(), 0, *shape, *place) for place in row] for row in places]
        assert patch.tolist() == expected


def test_codes_are_bounded_and_spread(photograph: Photograph) -> None:
    """No more codes than asked for, and every quarter of the picture has some."""
    regions = regions_of(decode_grey(photograph("coffee.png")), 100)
    quarters = (regions.frames[:, :2] * 2 / (regions.width, regions.height)).astype(int)

    assert len(regions) == 100
    assert len(np.unique(quarters, axis=0)) == 4


@pytest.mark.parametrize("shape", [(1, 1), (1, 10_000), (10_000, 1), (3, 5), (40, 40), (16, 900)])
@pytest.mark.parametrize("fill", ["flat", "noise"])
def test_odd_shapes_give_regions_or_none(shape: tuple[int, int], fill: str) -> None:
    """Pictures of any shape are described without a crash, flat ones by nothing."""
    rng = np.random.default_rng(4)
    grey = np.full(shape, 90, np.uint8)
    if fill == "noise":
        grey = rng.integers(0, 256, shape, dtype=np.uint8)
    regions = regions_of(grey)

    assert np.isfinite(regions.frames).all()
    assert len(regions) <= (0 if fill == "flat" else BANK_CODES_MAX)
