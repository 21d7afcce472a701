"""Spoils files: a few random changes of the kinds that decoders stumble over."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from random import Random
from typing import Literal

CHANGES_MAX = 6
FILE_BYTES_MAX = 64_000
_NUMBERS = (0, 1, 2, 7, 8, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)
_HEAD_BYTES = 256
_PNG = b"\x89PNG"

Change = Callable[[bytearray, Random, Sequence[bytes]], None]


def mutated(file: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    """Spoil a file; `others` of its format may lend parts."""
    data = bytearray(file)
    for _ in range(rng.randint(1, CHANGES_MAX)):
        rng.choice(_CHANGES)(data, rng, others)
        if not data:
            break
    changed = bytes(data[:FILE_BYTES_MAX])
    # Without this a wrong checksum is all that a PNG decoder ever sees.
    return with_checksums(changed) if changed.startswith(_PNG) and rng.random() < 0.9 else changed  # noqa: PLR2004 a share


def with_checksums(data: bytes) -> bytes:
    """Make the checksums of a PNG right, as far as its chunks can be followed."""
    parts, at = [data[:8]], 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        end = at + 8 + length
        if end + 4 > len(data):
            break
        parts += [data[at:end], struct.pack(">I", zlib.crc32(data[at + 4 : end]))]
        at = end + 4
    return b"".join([*parts, data[at:]])


def _place(data: bytearray, rng: Random) -> int:
    """A place, in every second case in the head, where the structure is."""
    return rng.randrange(min(len(data), _HEAD_BYTES) if rng.random() < 0.5 else len(data))  # noqa: PLR2004 a share


def _flip(data: bytearray, rng: Random, _others: Sequence[bytes]) -> None:
    data[_place(data, rng)] ^= 1 << rng.randrange(8)


def _overwrite(data: bytearray, rng: Random, _others: Sequence[bytes]) -> None:
    at = _place(data, rng)
    length = min(rng.randint(1, 8), len(data) - at)
    data[at : at + length] = rng.randbytes(length)


def _put_number(data: bytearray, rng: Random, _others: Sequence[bytes]) -> None:
    at, width = _place(data, rng), rng.choice((1, 2, 4))
    number = rng.choice(_NUMBERS) % (1 << 8 * width)
    written = number.to_bytes(width, rng.choice(("big", "little")))
    data[at : at + width] = written[: len(data) - at]


def _add_to_number(data: bytearray, rng: Random, _others: Sequence[bytes]) -> None:
    at, width = _place(data, rng), rng.choice((1, 2, 4))
    order: Literal["big", "little"] = rng.choice(("big", "little"))
    number = int.from_bytes(data[at : at + width], order) + rng.randint(-9, 9)
    data[at : at + width] = (number % (1 << 8 * width)).to_bytes(width, order)[: len(data) - at]


def _cut(data: bytearray, rng: Random, _others: Sequence[bytes]) -> None:
    at = _place(data, rng)
    del data[at : at + rng.randint(1, 64)]


def _tear(data: bytearray, rng: Random, _others: Sequence[bytes]) -> None:
    del data[_place(data, rng) + 1 :]


def _repeat(data: bytearray, rng: Random, _others: Sequence[bytes]) -> None:
    at = _place(data, rng)
    part = data[at : at + rng.randint(1, 128)]
    data[at:at] = part * rng.randint(1, 8)


def _borrow(data: bytearray, rng: Random, others: Sequence[bytes]) -> None:
    other = rng.choice(others)
    start, at = rng.randrange(len(other)), _place(data, rng)
    part = other[start : start + rng.randint(1, 512)]
    data[at : at + len(part)] = part


_CHANGES: tuple[Change, ...] = (
    _flip,
    _flip,
    _overwrite,
    _put_number,
    _put_number,
    _add_to_number,
    _cut,
    _tear,
    _repeat,
    _borrow,
)
