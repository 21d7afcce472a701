"""The aligned grid: DCT signs of windows that overlap all over a picture.

Regional codes say where a picture might lie in another; the grid says whether what lies
there is the same, window by window.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from imageward_index.dct import cosines, lowest_frequencies
from imageward_index.decode import cv2
from imageward_index.grid_kernels import compare_windows, shift_windows, sign_windows
from imageward_index.homography import fit_affine, fit_homography
from imageward_index.pyramid import Pyramid

WINDOWS_A_SIDE: Final = 16
WINDOWS: Final = WINDOWS_A_SIDE**2
SIGN_BITS: Final = 16
TEXTURE_MIN: Final = 4.0
"""Shades. A window that varies less is smooth: its signs are noise."""

DRAWN_SHARE_MAX: Final = 0.25
"""A window with more dead flat pixels is drawn: of an emoji, a text, an app's chrome."""

WINDOW_RADIUS_BITS: Final = 3
"""Windows of textured signs that differ by no more look alike."""

# Something stands where the bank has a plain wall.
_INTRUSION_MIN: Final = 2 * TEXTURE_MIN
# Of unrelated windows one in a hundred is alike by chance, and few more in practice.
_PROBED: Final = 32
_PROBED_ALIKE: Final = 3
_FITTED_MIN: Final = 4
_FITTED_MAX: Final = 128
_HOMOGRAPHY_MIN: Final = 12
_RIDGE: Final = 0.01
_FLAT_RANGE: Final = 0.6
_FLAT_SIDE: Final = 5
_SAMPLES: Final = 8
# Neighbours overlap by half.
_STRIDE: Final = 1 / (WINDOWS_A_SIDE + 1)
_US, _VS = lowest_frequencies(_SAMPLES, SIGN_BITS)
_BASIS: Final = cosines(_SAMPLES, int(max(_US.max(), _VS.max())))

# Every 89th window, around and around: near ones come far apart.
_SCATTERED: Final = np.arange(WINDOWS) * 89 % WINDOWS


def _inner() -> NDArray[np.bool_]:
    # At the rim a map that is half a pixel off sees what lies around the picture.
    inner = np.zeros((WINDOWS_A_SIDE, WINDOWS_A_SIDE), np.bool_)
    inner[1:-1, 1:-1] = True
    return inner.ravel()


_INNER: Final = _inner()


# Pixels, starts, shapes, width and height of a pyramid; a map; windows; basis, us and vs.
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Seeing = tuple[NDArray[np.float32], Ints, Ints, float, float, Floats, Floats, Floats, Ints, Ints]


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """The windows of one banked picture, row by row.

    Attributes:
        signs: uint16, (256,); bit 0 is the lowest frequency.
        textured: bool, (256,), whether a window is photographed, and varies enough for
            its signs to count.
        smooth: bool, (256,), whether it hardly varies. A window that is neither is
            drawn: it says nothing, since others may have drawn the same.
    """

    signs: NDArray[np.uint16]
    textured: NDArray[np.bool_]
    smooth: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """The windows of a banked picture as they are seen in another.

    Attributes:
        signs: uint16, (256,).
        contrasts: float64, (256,), root of the energy of the frequencies, in shades.
        inside: bool, (256,), whether the window lies in the picture with all it has.
    """

    signs: NDArray[np.uint16]
    contrasts: NDArray[np.float64]
    inside: NDArray[np.bool_]


class Comparison(NamedTuple):
    """What is seen of a banked picture's windows in another.

    Attributes:
        distances: int64, (256,), bits between the signs of textured windows; -1 where
            a window is not textured or not seen.
        intruding: smooth windows in which something is seen.
    """

    distances: NDArray[np.int64]
    intruding: int


def find_grid(pyramid: Pyramid) -> Grid:
    """Sign the windows of a picture."""
    view = see_grid(pyramid, pyramid.width, pyramid.height, np.eye(3))
    smooth = view.contrasts < TEXTURE_MIN
    drawn = _flat_shares(pyramid) > DRAWN_SHARE_MAX
    return Grid(view.signs, ~smooth & ~drawn, smooth)


def see_grid(
    pyramid: Pyramid, width: float, height: float, to_picture: NDArray[np.floating]
) -> View:
    """Sign the windows of a banked picture of this size where a homography puts them."""
    signs = np.empty(WINDOWS, np.uint16)
    contrasts = np.empty(WINDOWS)
    inside = np.empty(WINDOWS, np.bool_)
    sign_windows(*_through(pyramid, width, height, to_picture), signs, contrasts, inside)
    return View(signs, contrasts, inside)


def compare_grid(
    pyramid: Pyramid, grid: Grid, width: float, height: float, to_picture: NDArray[np.floating]
) -> Comparison:
    """Compare a banked picture's windows with what is seen of them through a homography."""
    distances = np.empty(WINDOWS, np.int64)
    intruding = compare_windows(
        *_through(pyramid, width, height, to_picture),
        grid.signs,
        grid.textured,
        grid.smooth & _INNER,
        WINDOW_RADIUS_BITS,
        _INTRUSION_MIN,
        _PROBED,
        _PROBED_ALIKE,
        _SCATTERED,
        distances,
    )
    return Comparison(distances, intruding)


def fit_grid(
    pyramid: Pyramid,
    grid: Grid,
    width: float,
    height: float,
    to_picture: NDArray[np.floating],
    step: float,
) -> NDArray[np.float64] | None:
    """Look for every window up to a step around where the map puts it, and map anew.

    Returns:
        (3, 3), from the picture to the banked one; None where too few are found.
    """
    places, to_places = np.zeros((2, WINDOWS, 5))
    count = shift_windows(
        *_through(pyramid, width, height, to_picture),
        grid.signs,
        grid.textured,
        WINDOW_RADIUS_BITS,
        _SCATTERED,
        _FITTED_MAX,
        step,
        places,
        to_places,
    )
    if count < _FITTED_MIN:
        return None
    pairs = np.repeat(np.arange(count)[:, np.newaxis], 2, axis=1)
    if count < _HOMOGRAPHY_MIN:
        solved, matrix = fit_affine(places, to_places, pairs, 0.0, 0.0)
    else:
        solved, matrix = fit_homography(places, to_places, pairs, _RIDGE)
    return matrix if solved else None


def _through(
    pyramid: Pyramid, width: float, height: float, to_picture: NDArray[np.floating]
) -> Seeing:
    """What every kernel needs to look through a map."""
    return (
        pyramid.pixels,
        pyramid.starts,
        pyramid.shapes,
        pyramid.width,
        pyramid.height,
        np.ascontiguousarray(to_picture, np.float64),
        _windows(width, height),
        _BASIS,
        _US,
        _VS,
    )


def _windows(width: float, height: float) -> NDArray[np.float64]:
    """(256, 4): x, y, width and height of each, in units of the longer side."""
    at = np.arange(WINDOWS_A_SIDE) * _STRIDE
    ys, xs = np.meshgrid(at * height, at * width, indexing="ij")
    sizes = np.broadcast_to([2 * _STRIDE * width, 2 * _STRIDE * height], (WINDOWS, 2))
    return np.concatenate([xs.reshape(-1, 1), ys.reshape(-1, 1), sizes], axis=1)


def _flat_shares(pyramid: Pyramid) -> NDArray[np.float64]:
    """For each window the share of its pixels around which nothing varies: no grain, no light.

    What a lens has seen has grain or a gradient nearly everywhere; what a program has
    filled has neither.
    """
    rows, columns = pyramid.shapes[0]
    first = pyramid.pixels[: rows * columns].reshape(rows, columns)
    around = np.ones((_FLAT_SIDE, _FLAT_SIDE), np.uint8)
    flat = cv2.subtract(cv2.dilate(first, around), cv2.erode(first, around)) <= _FLAT_RANGE
    sums = cv2.integral(flat.astype(np.uint8))
    edges = np.arange(WINDOWS_A_SIDE + 2) * _STRIDE
    at = np.ix_(np.rint(edges * rows).astype(np.int64), np.rint(edges * columns).astype(np.int64))
    corners = sums[at]
    counts = corners[2:, 2:] - corners[:-2, 2:] - corners[2:, :-2] + corners[:-2, :-2]
    return np.asarray((counts / (4 * _STRIDE * _STRIDE * rows * columns)).ravel())
