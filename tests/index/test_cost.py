"""What is expected of an image follows what the decoder does with it."""

from __future__ import annotations

import numpy as np
import pytest

from imageward_index.cost import (
    JPEG_BYTE_S,
    JPEG_PIXEL_S,
    JPEG_SCAN_BYTE_S,
    JPEG_SCAN_PIXEL_S,
    expected_s,
)
from imageward_index.decode import cv2, decode_reduced

SIDE_MIN = 100


def flat_jpeg(rows: int, columns: int, *options: int) -> bytes:
    """A grey picture without detail."""
    return cv2.imencode(".jpg", np.full((rows, columns), 99, np.uint8), options)[1].tobytes()


@pytest.mark.parametrize(
    ("rows", "columns", "factor"),
    [(199, 150, 1), (200, 150, 2), (400, 199, 2), (400, 400, 4), (801, 400, 8), (801, 399, 4)],
)
def test_a_jpeg_costs_what_is_left_of_its_pixels(rows: int, columns: int, factor: int) -> None:
    """The guess takes the factor by which the decoder divides the sides."""
    image = flat_jpeg(rows, columns)
    assert decode_reduced(image, SIDE_MIN).shape == (-(-rows // factor), -(-columns // factor))
    pixels_s = rows * columns * JPEG_PIXEL_S[factor]
    assert expected_s(image, SIDE_MIN) == pytest.approx(pixels_s + len(image) * JPEG_BYTE_S)


def test_decoding_in_full_costs_all_pixels() -> None:
    """Without a bound of the side nothing is left out."""
    image = flat_jpeg(800, 800)
    assert expected_s(image) == pytest.approx(800**2 * JPEG_PIXEL_S[1] + len(image) * JPEG_BYTE_S)


def test_scans_are_not_reduced() -> None:
    """A progressive JPEG goes through all of its pixels in each scan, however small it becomes."""
    image = flat_jpeg(800, 800, cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    scans = image.count(b"\xff\xda")
    once_s = 800**2 * JPEG_PIXEL_S[8] + len(image) * JPEG_BYTE_S
    more_s = scans * 800**2 * JPEG_SCAN_PIXEL_S + len(image) * JPEG_SCAN_BYTE_S
    assert scans > 1
    assert expected_s(image, SIDE_MIN) == pytest.approx(once_s + more_s)


def test_other_formats_are_never_reduced() -> None:
    """A PNG costs the same, whoever asks."""
    image = cv2.imencode(".png", np.full((800, 800), 99, np.uint8))[1].tobytes()
    assert expected_s(image, SIDE_MIN) == expected_s(image)
