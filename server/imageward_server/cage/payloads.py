"""Results as bytes, and back: written by a cell, read and checked by the server.

A cell may have been taken over by the image that it decoded, so nothing it says is
believed: every length, range and place is checked on a private copy, and no value of a
cell can make a reader allocate more than the copy has or a kernel read beyond an array.

    hashes       8 x 32 bytes of codes, quality u8
    query        width, height, box: 6 f64; levels u32, codes u32;
                 rows and columns of each level: i64; frames: 4 f64 a code;
                 codes: u64; pixels of the levels, one after the other: f32
    fingerprint  its wire form
    view         height, width: u32; pixels row by row: u8
    refusal      JSON: message, metadata
"""

from __future__ import annotations

import json
import math
import struct
from typing import Final

import numpy as np
from numpy.typing import NDArray

from imageward_index.box import Box
from imageward_index.errors import ImagewardError, InvalidFingerprint
from imageward_index.fingerprint import FINGERPRINT_BYTES_MAX, Fingerprint
from imageward_index.geometry import Query
from imageward_index.pdq import HASH_BYTES, QUALITY_MAX, Orientation, OrientedHashes
from imageward_index.picture import VIEW_SIDE_MAX
from imageward_index.pyramid import Pyramid
from imageward_index.regions import BANK_CODES_MAX, BANK_SIDE, Regions

LEVELS_MAX: Final = 16
REFUSAL_BYTES_MAX: Final = 2_000
MESSAGE_CHARS_MAX: Final = 400
METADATA_MAX: Final = 8
TRACEBACK_CHARS_MAX: Final = 4_000

_CODES_BYTES: Final = len(Orientation) * HASH_BYTES
_QUERY_HEAD: Final = struct.Struct("=6d2I")
_FRAME_FIELDS: Final = 4
_VIEW_HEAD: Final = struct.Struct("=2I")
# Interpolation may round a little beyond the shades and places there are.
_SLACK: Final = 0.01
_SHADE_MAX: Final = 255.0


class InvalidPayload(Exception):
    """A cell said what no cell says: it was taken over, or is of another version."""


def write_hashes(hashes: OrientedHashes) -> bytes:
    """Write the PDQ hashes of a picture: 257 bytes."""
    return hashes.codes.tobytes() + bytes([hashes.quality])


def read_hashes(data: bytearray) -> OrientedHashes:
    """Read the PDQ hashes of a picture.

    Raises:
        InvalidPayload: another length, or a quality out of range.
    """
    _require(len(data) == _CODES_BYTES + 1, "hashes of another length")
    _require(data[-1] <= QUALITY_MAX, "a quality out of range")
    codes = np.frombuffer(data, np.uint8, _CODES_BYTES).reshape(len(Orientation), HASH_BYTES)
    codes.setflags(write=False)
    return OrientedHashes(codes, data[-1])


def write_query(query: Query) -> bytes:
    """Write a query."""
    pyramid, regions, box = query.pyramid, query.regions, query.content
    head = _QUERY_HEAD.pack(
        pyramid.width,
        pyramid.height,
        box.left,
        box.top,
        box.width,
        box.height,
        len(pyramid.shapes),
        len(regions),
    )
    arrays = (
        np.ascontiguousarray(pyramid.shapes, np.int64),
        np.ascontiguousarray(regions.frames, np.float64),
        np.ascontiguousarray(regions.codes, np.uint64),
        np.ascontiguousarray(pyramid.pixels, np.float32),
    )
    # As they lie: a megabyte and a half of pixels is copied once.
    return b"".join((head, *(array.data for array in arrays)))


def read_query(data: bytearray) -> Query:
    """Read a query; its arrays lie in `data`, aligned.

    Raises:
        InvalidPayload: a length that does not fit, or a value out of range.
    """
    _require(len(data) >= _QUERY_HEAD.size, "a query cut short")
    *numbers, levels, count = _QUERY_HEAD.unpack_from(data)
    width, height, *box = numbers
    _require(max(width, height) == 1.0 and min(width, height) > 0, "a picture without sides")
    _require(1 <= levels <= LEVELS_MAX and count <= BANK_CODES_MAX, "too many levels or codes")
    shapes_end = _QUERY_HEAD.size + levels * 2 * 8
    frames_end = shapes_end + count * _FRAME_FIELDS * 8
    codes_end = frames_end + count * 8
    _require(len(data) >= codes_end, "a query cut short")
    shapes = np.frombuffer(data, np.int64, 2 * levels, _QUERY_HEAD.size).reshape(levels, 2)
    _require(_within(shapes, 1, BANK_SIDE), "a level of no size")
    sizes = shapes.prod(axis=1)
    _require(len(data) == codes_end + 4 * int(sizes.sum()), "pixels of another length")
    pixels = np.frombuffer(data, np.float32, offset=codes_end)
    _require(_within(pixels, -_SLACK, _SHADE_MAX + _SLACK), "a shade out of range")
    frames = np.frombuffer(data, np.float64, count * _FRAME_FIELDS, shapes_end)
    frames = _checked_frames(frames.reshape(count, _FRAME_FIELDS), width, height)
    codes = np.frombuffer(data, np.uint64, count, frames_end)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
    return Query(
        Pyramid(width, height, pixels, starts, shapes),
        Regions(width, height, codes, frames),
        _checked_box(*box),
    )


def read_fingerprint(data: bytearray) -> Fingerprint:
    """Read a fingerprint.

    Raises:
        InvalidPayload: it is none.
    """
    _require(len(data) <= FINGERPRINT_BYTES_MAX, "a fingerprint that is too long")
    try:
        return Fingerprint.from_bytes(bytes(data))
    except InvalidFingerprint as error:
        raise InvalidPayload("no fingerprint") from error


def write_view(grey: NDArray[np.uint8]) -> bytes:
    """Write a picture to be looked at: 8 bytes and one a pixel."""
    return _VIEW_HEAD.pack(*grey.shape) + grey.tobytes()


def read_view(data: bytearray) -> NDArray[np.uint8]:
    """Read a picture to be looked at: (H, W) uint8, 1..1,024 a side, read-only, in `data`.

    Raises:
        InvalidPayload: a side out of range, or pixels of another length.
    """
    _require(len(data) >= _VIEW_HEAD.size, "a view cut short")
    height, width = _VIEW_HEAD.unpack_from(data)
    _require(min(height, width) >= 1, "a view without sides")
    _require(max(height, width) <= VIEW_SIDE_MAX, "a view that is too large")
    _require(len(data) == _VIEW_HEAD.size + height * width, "a view of another length")
    pixels = np.frombuffer(data, np.uint8, offset=_VIEW_HEAD.size).reshape(height, width)
    pixels.setflags(write=False)
    return pixels


def write_refusal(error: ImagewardError) -> bytes:
    """Write what an exception says."""
    return json.dumps({"message": str(error), "metadata": error.metadata}).encode()


def read_refusal(data: bytearray) -> tuple[str, dict[str, str]]:
    """Read a message and its metadata, which callers will see.

    Raises:
        InvalidPayload: too long, of another form, or not printable.
    """
    _require(len(data) <= REFUSAL_BYTES_MAX, "a refusal that is too long")
    try:
        told = json.loads(bytes(data))
        message, metadata = told["message"], dict(told["metadata"])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise InvalidPayload("no refusal") from error
    _require(len(metadata) <= METADATA_MAX, "too much metadata")
    _require(all(map(_is_text, (message, *metadata, *metadata.values()))), "no text")
    return message, metadata


def read_traceback(data: bytearray) -> str:
    """Read a traceback for the log: whatever it is, as printable text."""
    text = bytes(data[:TRACEBACK_CHARS_MAX]).decode("ascii", "replace")
    return "".join(one if one.isprintable() or one == "\n" else "?" for one in text)


def _checked_frames(
    frames: NDArray[np.float64], width: float, height: float
) -> NDArray[np.float64]:
    xs, ys, sizes, angles = frames.T
    _require(_within(xs, -_SLACK, width + _SLACK), "a code beside the picture")
    _require(_within(ys, -_SLACK, height + _SLACK), "a code above or below the picture")
    _require(_within(sizes, 1e-6, 1.0), "a code of no size")
    _require(_within(angles, -math.pi - _SLACK, math.pi + _SLACK), "an angle out of range")
    return frames


def _checked_box(left: float, top: float, width: float, height: float) -> Box:
    for start, length in ((left, width), (top, height)):
        _require(0 <= start <= 1 and 0 < length <= 1, "a box out of range")
        _require(start + length <= 1 + _SLACK, "a box out of range")
    return Box(left, top, width, height)


def _within(values: NDArray[np.generic], least: float, most: float) -> bool:
    """Say whether all values are in a range; what is not a number is in none."""
    return not values.size or bool(values.min() >= least and values.max() <= most)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= MESSAGE_CHARS_MAX and value.isprintable()


def _require(condition: bool, otherwise: str) -> None:  # noqa: FBT001 reads as a sentence
    if not condition:
        raise InvalidPayload(f"a cell answered with {otherwise}")
