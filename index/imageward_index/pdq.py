"""A grey picture to its PDQ hash, upright and in the seven other orientations.

PDQ is described in "The TMK+PDQF Video-Hashing Algorithm and the PDQ
Image-Hashing Algorithm" (Facebook, 2019, hashing/hashing.pdf in
facebook/ThreatExchange), and its DCT in Zauner, "Implementation and
Benchmarking of Perceptual Image Hash Functions" (2010):

1. A tent filter, two passes of a box a 128th of the side wide, and a sample at
   the centre of each of 64 x 64 cells.
2. The 16 x 16 lowest frequencies of the DCT of that, without the zeroth.
3. A bit is whether a coefficient is above the (lower) median of all 256.
4. Quality counts the gradients of the 64 x 64 samples.

Everything linear is done in float64, so no order of summation, and no machine,
changes a bit. It knows neither files nor what a hash is compared with.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Self, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from imageward_index.errors import InvalidHash
from imageward_index.pdq_kernels import weigh_rows

HASHER_VERSION = "pdq-1"
"""Names the bits below: whatever changes one of them on any picture changes the name."""

HASH_BITS: Final = 256
HASH_BYTES: Final = HASH_BITS // 8
QUALITY_MAX: Final = 100
QUALITY_MIN: Final = 50
"""Below this the field does not exchange a hash: too little detail to tell pictures apart."""

SIDE_MIN: Final = 5
"""Pixels. A picture with a shorter side has the zero hash of quality 0, as the field has it."""

Matrix: TypeAlias = NDArray[np.float64]

_SAMPLES: Final = 64
_FREQUENCIES: Final = 16
# Sides whose filter is kept. The longest side costs 130 kB, so at most 33 MB.
_SIDES_CACHED: Final = 256
# A coefficient that is zero on paper comes out near 1e-13. Left so, the noise of
# the arithmetic would be the bits of flat and of symmetric pictures.
_COEFFICIENT_DECIMALS: Final = 6

_HEX: Final = re.compile(r"[0-9a-f]{64}")


class Orientation(enum.IntEnum):
    """How a picture was turned or mirrored, as the numpy operation that does it.

    The order is that of `pdqhash.compute_dihedral`: original, rotate 90, 180,
    270, flip X, flip Y, flip plus 1, flip minus 1.
    """

    IDENTITY = 0
    """As it is."""
    ROTATE_90 = 1
    """A quarter counter-clockwise: `np.rot90(picture)`."""
    ROTATE_180 = 2
    """Half: `np.rot90(picture, 2)`."""
    ROTATE_270 = 3
    """Three quarters counter-clockwise: `np.rot90(picture, 3)`."""
    FLIP_VERTICAL = 4
    """Top and bottom swapped: `np.flipud(picture)`."""
    FLIP_HORIZONTAL = 5
    """Left and right swapped: `np.fliplr(picture)`."""
    TRANSPOSE = 6
    """Rows become columns: `picture.T`."""
    TRANSVERSE = 7
    """Mirrored at the other diagonal: `np.rot90(picture, 2).T`."""


@dataclass(frozen=True, slots=True)
class PdqHash:
    """A PDQ hash. Its repr keeps the code back: a code lets its picture be guessed at.

    Attributes:
        code: 32 bytes, the last bit of the last row first, as the field's hex is read.
        quality: 0..100, or None where the source did not say.

    Raises:
        InvalidHash: the code has another width, or the quality is out of range.
    """

    code: bytes = field(repr=False)
    quality: int | None

    def __post_init__(self) -> None:
        if len(self.code) != HASH_BYTES:
            raise InvalidHash(
                f"a PDQ code has {HASH_BYTES} bytes, this one {len(self.code)}",
                code_bytes=len(self.code),
                code_bytes_expected=HASH_BYTES,
            )
        if self.quality is not None and not 0 <= self.quality <= QUALITY_MAX:
            raise InvalidHash(
                f"a quality is within 0..{QUALITY_MAX}, this one is {self.quality}",
                quality=self.quality,
                quality_max=QUALITY_MAX,
            )

    @property
    def hex(self) -> str:
        """The code as 64 lower-case hex digits, the form the field exchanges."""
        return self.code.hex()

    @classmethod
    def from_hex(cls, text: str, quality: int | None = None) -> Self:
        """Read the form the field exchanges.

        Raises:
            InvalidHash: the text is not exactly 64 lower-case hex digits, or the
                quality is out of range.
        """
        if not _HEX.fullmatch(text):
            raise InvalidHash(
                f"a PDQ hash is {2 * HASH_BYTES} lower-case hex digits; "
                f"these {len(text)} characters are not",
                characters=len(text),
                characters_expected=2 * HASH_BYTES,
            )
        return cls(bytes.fromhex(text), quality)


@dataclass(frozen=True, slots=True, eq=False)
class OrientedHashes:
    """The hashes of one picture in all eight orientations.

    Attributes:
        codes: (8, 32) uint8, read-only; row `o` is the code of the picture after
            the operation of `Orientation(o)`.
        quality: 0..100, the same for all eight.
    """

    codes: NDArray[np.uint8] = field(repr=False)
    quality: int

    @property
    def upright(self) -> PdqHash:
        """The hash of the picture as it is."""
        return PdqHash(self.codes[Orientation.IDENTITY].tobytes(), self.quality)


def hash_grey(grey: NDArray[np.uint8]) -> PdqHash:
    """Hash a grey picture (H, W), 0..255, as it is."""
    return hash_orientations(grey).upright


def hash_orientations(grey: NDArray[np.uint8]) -> OrientedHashes:
    """Hash a grey picture (H, W), 0..255, in all eight orientations from one DCT.

    The filter is not quite symmetric, so the hash of pixels that were really turned
    is some bits away from the one computed here, as in the field's own code: over
    200 photographs 7 on average and 32 at most; none for sides under 128 pixels.
    Safe to call from many threads.
    """
    assert grey.ndim == 2, "a grey picture has rows and columns"  # noqa: PLR2004 our own mistake
    assert grey.dtype == np.uint8, "a grey picture has one byte a pixel"
    if min(grey.shape) < SIDE_MIN:
        return OrientedHashes(_frozen(np.zeros((len(Orientation), HASH_BYTES), np.uint8)), 0)
    samples = _sample_rows(_sample_rows(grey).T).T
    return OrientedHashes(_frozen(_codes(_orient(_dct(samples)))), _quality(samples))


def _sample_rows(picture: NDArray[np.uint8] | Matrix) -> Matrix:
    """(H, W) to (64, W): every sample is a weighted sum of its own band of rows.

    Neighbouring bands hardly overlap, so a picture is read about once.
    """
    samples = np.empty((_SAMPLES, picture.shape[1]))
    together = cast("NDArray[np.uint8] | Matrix", np.ascontiguousarray(picture))
    weigh_rows(together, *_bands(picture.shape[0]), samples)
    return samples


@lru_cache(maxsize=_SIDES_CACHED)
def _bands(side: int) -> tuple[NDArray[np.int64], Matrix]:
    """For each of 64 samples along a side: the first pixel it reads, and the weights from there.

    Shorter bands have weights of 0 before them, where there are pixels, or behind.

    A box of `w = ceil(side / 128)` pixels reaches from `i - (w - h)` to `i + h - 1`
    with `h = (w + 2) // 2`, and is cut, not padded, at the borders.
    """
    width = -(-side // (2 * _SAMPLES))
    ahead = (width + 2) // 2
    pixels = np.arange(side)
    first = np.maximum(pixels - (width - ahead), 0)
    past = np.minimum(pixels + ahead, side)
    centres = (2 * np.arange(_SAMPLES) + 1) * side // (2 * _SAMPLES)
    bands = [
        _band(first[f:p], past[f:p]) for f, p in zip(first[centres], past[centres], strict=True)
    ]
    longest = max(len(weights) for _, weights in bands)
    firsts = np.array([min(start, side - longest) for start, _ in bands])
    weights = np.zeros((_SAMPLES, longest))
    for row, begin, (start, band) in zip(weights, firsts.tolist(), bands, strict=True):
        row[start - begin : start - begin + len(band)] = band
    return firsts, weights


def _band(first: NDArray[np.int_], past: NDArray[np.int_]) -> tuple[int, Matrix]:
    """The mean of box means, each over the pixels `first[k]` to `past[k] - 1`."""
    start, stop = int(first[0]), int(past[-1])
    share = 1.0 / (past - first) / len(first)
    length = stop - start + 1
    # Each box adds its share where it starts and takes it back where it ends.
    steps = np.bincount(first - start, share, length) - np.bincount(past - start, share, length)
    return start, np.cumsum(steps)[:-1]


def _dct_matrix() -> Matrix:
    """(16, 64): the orthonormal DCT-II basis of the frequencies 1..16."""
    frequencies = np.arange(1, _FREQUENCIES + 1)[:, np.newaxis]
    positions = 2 * np.arange(_SAMPLES) + 1
    basis = np.cos(np.pi / (2 * _SAMPLES) * frequencies * positions)
    return np.asarray(np.sqrt(2 / _SAMPLES) * basis)


_DCT: Final = _dct_matrix()
# Mirroring an axis negates its odd frequencies; row 0 holds frequency 1.
_MIRROR: Final = np.where(np.arange(_FREQUENCIES) % 2 == 0, -1.0, 1.0)


def _dct(samples: Matrix) -> Matrix:
    """(64, 64) samples to their (16, 16) lowest frequencies."""
    return np.round(_DCT @ samples @ _DCT.T, _COEFFICIENT_DECIMALS)


def _orient(upright: Matrix) -> Matrix:
    """(16, 16) coefficients to (8, 16, 16), in the order of `Orientation`."""
    down, across = _MIRROR[:, np.newaxis], _MIRROR[np.newaxis, :]
    turned = upright.T
    return np.stack(
        [
            upright,
            turned * down,
            upright * down * across,
            turned * across,
            upright * down,
            upright * across,
            turned,
            turned * down * across,
        ]
    )


def _codes(coefficients: Matrix) -> NDArray[np.uint8]:
    """(n, 16, 16) coefficients to (n, 32) codes: one bit each, the last one first."""
    rows = coefficients.reshape(len(coefficients), HASH_BITS)
    lower_median = HASH_BITS // 2 - 1
    medians = np.partition(rows, lower_median, axis=1)[:, lower_median, np.newaxis]
    return np.packbits((rows > medians)[:, ::-1], axis=1)


def _quality(samples: Matrix) -> int:
    """0..100 from the steps between neighbouring samples.

    A step counts in whole percent of the range, cut to an integer in float32 as
    the reference does, so small ones do not add up.
    """
    shades = samples.astype(np.float32)
    percents = (np.abs(np.diff(shades, axis=axis)) * 100 / 255 for axis in (0, 1))
    return min(sum(int(percent.astype(np.int32).sum()) for percent in percents) // 90, QUALITY_MAX)


def _frozen(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    codes.setflags(write=False)
    return codes
