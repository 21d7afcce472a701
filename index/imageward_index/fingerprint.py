"""All of one image's hashes as a value, and its wire form.

A fingerprint has a PDQ hash, and a regional part unless it came from a list of plain
hashes. Everything in it is what its wire form says: places, sizes and angles are rounded
when it is made, so that a fingerprint read back is the one that was written.

    byte     bits  what, little endian
    0        8     version, 1
    1        8     1: the quality is known; 2: a regional part follows
    2        256   the PDQ code, as `pdq.PdqHash` has it
    34       8     its quality, 0 where it is not known
    35       64    the content's box: left, top, width, height, in 65535ths of the image
    43       32    width and height of the content, in 65535ths of the longer side
    47       8     n, how many codes, 0..248
    48       64n   the codes
    48+8n    32n   their frames: x 10 bits, y 10, size 5, angle 7, the lowest first
    48+12n   4096  the signs of the grid's 256 windows
    560+12n  256   which of them are textured, the first in the lowest bit
    592+12n  256   which of them are smooth, likewise; none is both

It knows neither pixels nor banks.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from imageward_index.box import Box
from imageward_index.errors import InvalidFingerprint
from imageward_index.fingerprint_kernels import unpack_frames
from imageward_index.grid import WINDOWS, Grid
from imageward_index.pdq import QUALITY_MAX, PdqHash
from imageward_index.regions import BANK_CODES_MAX, Regions

VERSION: Final = 1
REGIONS_VERSION: Final = f"regions-{VERSION}"
"""Names the hasher of regional codes; codes of two do not compare."""

FINGERPRINT_BYTES_MAX: Final = 624 + 12 * BANK_CODES_MAX

_HEAD: Final = struct.Struct("<BB32sB")
_SIZES: Final = struct.Struct("<4H2HB")
_QUALITY_KNOWN: Final = 1
_REGIONAL: Final = 2
_CODE_BYTES: Final = 8
_FRAME_BYTES: Final = 4
_WHOLE: Final = 65_535
_PLACE_MAX: Final = 1_023
_SIZE_MAX: Final = 31
_ANGLES: Final = 128
# Sizes of a level's pixel run over five octaves, from 1/512 of the longer side.
_SIZE_FIRST: Final = -9.0
_SIZES_PER_OCTAVE: Final = 6.2
_SIZE_OF: Final = 2.0 ** (np.arange(_SIZE_MAX + 1) / _SIZES_PER_OCTAVE + _SIZE_FIRST)
# Half a turn is pi, not -pi.
_ANGLE_OF: Final = np.array(
    [math.pi * 2 * (turn - (turn > _ANGLES // 2) * _ANGLES) / _ANGLES for turn in range(_ANGLES)]
)
_MASK_BYTES: Final = WINDOWS // 8
_GRID_BYTES: Final = WINDOWS * 2 + 2 * _MASK_BYTES


@dataclass(frozen=True, slots=True, eq=False)
class RegionalPart:
    """What finds parts of an image: codes and grid of its content.

    Attributes:
        content: the box that is described: the image without borders and bars.
        regions: at most 248 codes; places are within the content.
        grid: the content's windows.
    """

    content: Box
    regions: Regions = field(repr=False)
    grid: Grid = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Fingerprint:
    """All hashes of one image. Its repr keeps them back: they let the picture be guessed at.

    Attributes:
        whole: the PDQ hash.
        regional: the codes of its parts; None where only the PDQ hash is known.
    """

    whole: PdqHash
    regional: RegionalPart | None = None

    @property
    def codes(self) -> NDArray[np.uint64]:
        """Its regional codes, (n,), 0..248 of them."""
        return np.empty(0, np.uint64) if self.regional is None else self.regional.regions.codes

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fingerprint) and self.to_bytes() == other.to_bytes()

    def __hash__(self) -> int:
        return hash(self.to_bytes())

    def to_bytes(self) -> bytes:
        """Write the wire form: 35 bytes, or 624 and 12 for each code, 3,600 at most."""
        quality = self.whole.quality
        flags = _QUALITY_KNOWN * (quality is not None) | _REGIONAL * (self.regional is not None)
        head = _HEAD.pack(VERSION, flags, self.whole.code, quality or 0)
        return head if self.regional is None else head + _write_regional(self.regional)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read the wire form.

        Raises:
            InvalidFingerprint: another version, length or a value out of range.
        """
        if len(data) < _HEAD.size or data[0] != VERSION:
            raise InvalidFingerprint(
                f"{len(data)} bytes are no fingerprint of version {VERSION}; make it anew",
                bytes=len(data),
                version=VERSION,
            )
        _, flags, code, quality = _HEAD.unpack_from(data)
        known = bool(flags & _QUALITY_KNOWN)
        _require(flags <= (_QUALITY_KNOWN | _REGIONAL), "has flags that are not known", flags)
        _require(quality <= (QUALITY_MAX if known else 0), "has a quality out of range", quality)
        whole = PdqHash(code, quality if known else None)
        if flags & _REGIONAL:
            return cls(whole, _read_regional(data[_HEAD.size :]))
        _require(len(data) == _HEAD.size, "is longer than its parts", len(data))
        return cls(whole)


def round_regional(part: RegionalPart) -> RegionalPart:
    """Round a regional part to what its wire form can say."""
    return _read_regional(_write_regional(part))


def _require(condition: bool, what: str, value: int) -> None:  # noqa: FBT001 reads as a sentence
    if not condition:
        raise InvalidFingerprint(f"the fingerprint {what}: {value}; make it anew", value=value)


def _write_regional(part: RegionalPart) -> bytes:
    box, regions = part.content, part.regions
    shares = (box.left, box.top, box.width, box.height, regions.width, regions.height)
    sizes = [min(max(round(share * _WHOLE), 0), _WHOLE) for share in shares]
    return b"".join(
        (
            _SIZES.pack(*sizes, len(regions)),
            regions.codes.astype("<u8").tobytes(),
            _pack_frames(regions).astype("<u4").tobytes(),
            part.grid.signs.astype("<u2").tobytes(),
            np.packbits(part.grid.textured, bitorder="little").tobytes(),
            np.packbits(part.grid.smooth, bitorder="little").tobytes(),
        )
    )


def _read_regional(data: bytes) -> RegionalPart:
    _require(len(data) >= _SIZES.size, "is cut short", len(data))
    *shares, count = _SIZES.unpack_from(data)
    left, top, box_width, box_height, width, height = shares
    _require(count <= BANK_CODES_MAX, "has too many codes", count)
    expected = _SIZES.size + count * (_CODE_BYTES + _FRAME_BYTES) + _GRID_BYTES
    _require(len(data) == expected, "has another length than its parts", len(data))
    _require(max(width, height) == _WHOLE and min(width, height) > 0, "has no sides", min(shares))
    _require(left + box_width <= _WHOLE + 1 and box_width > 0, "has its box outside", left)
    _require(top + box_height <= _WHOLE + 1 and box_height > 0, "has its box outside", top)
    codes_end = _SIZES.size + count * _CODE_BYTES
    frames_end = codes_end + count * _FRAME_BYTES
    sides = width / _WHOLE, height / _WHOLE
    return RegionalPart(
        Box(left / _WHOLE, top / _WHOLE, box_width / _WHOLE, box_height / _WHOLE),
        Regions(
            *sides,
            np.frombuffer(data, "<u8", count, _SIZES.size).astype(np.uint64),
            _unpack_frames(np.frombuffer(data, "<u4", count, codes_end), *sides),
        ),
        _read_grid(data[frames_end:]),
    )


def _read_grid(data: bytes) -> Grid:
    signs = np.frombuffer(data, "<u2", WINDOWS).astype(np.uint16)
    masks = np.frombuffer(data, np.uint8, offset=2 * WINDOWS)
    textured, smooth = np.unpackbits(masks, bitorder="little").view(np.bool_).reshape(2, WINDOWS)
    first, second = data[-2 * _MASK_BYTES : -_MASK_BYTES], data[-_MASK_BYTES:]
    both = int.from_bytes(first, "little") & int.from_bytes(second, "little")
    _require(not both, "has windows that are textured and smooth", both.bit_count())
    return Grid(signs, textured, smooth)


def _pack_frames(regions: Regions) -> NDArray[np.uint32]:
    xs, ys, sizes, angles = regions.frames.T
    octaves = (np.log2(sizes) - _SIZE_FIRST) * _SIZES_PER_OCTAVE
    parts = (
        np.clip(np.rint(xs / regions.width * _PLACE_MAX), 0, _PLACE_MAX),
        np.clip(np.rint(ys / regions.height * _PLACE_MAX), 0, _PLACE_MAX),
        np.clip(np.rint(octaves), 0, _SIZE_MAX),
        np.mod(np.rint(angles / (2 * math.pi) * _ANGLES), _ANGLES),
    )
    x, y, size, angle = (part.astype(np.uint32) for part in parts)
    packed = x | y << np.uint32(10) | size << np.uint32(20) | angle << np.uint32(25)
    return np.asarray(packed, np.uint32)


def _unpack_frames(packed: NDArray[np.uint32], width: float, height: float) -> NDArray[np.float64]:
    frames = np.empty((len(packed), 4))
    across, down = width / _PLACE_MAX, height / _PLACE_MAX
    unpack_frames(packed.astype(np.uint32), across, down, _SIZE_OF, _ANGLE_OF, frames)
    return frames
