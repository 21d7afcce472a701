"""Files of arrays that are written once, checked whole and mapped for reading.

Owns the bytes of a sealed file and how one comes to be without ever being seen
half-written. It knows nothing of codes, ids or searches.

Layout, little-endian, every part starting on a page of 4,096 bytes:

    block   magic "IWSEALED", format version u32, JSON bytes u32, CRC-32 u32 of
            the block with this field zero, JSON, zeros up to 4,096 bytes
    arrays  in the order of the JSON's `arrays`, each padded with zeros
    tag     of an encrypted file alone: 16 bytes

The JSON's `header` is the owner's. Its `arrays` state name, dtype, length and
the CRC-32 of each array with its padding, so no byte of a file is outside a
checksum. All are checked when a file is opened: a file that opens is whole. The
checksums guard against accidents, not against a forger who may write into the
folder.

An encrypted file is of format 2: `sealed_cipher` says how, the tag stands for the
checksums of the arrays, and `copy` of the JSON names the decrypted copy that processes
share in memory (`clear_copy`). In clear it is nowhere on the disk, not even while it is
written.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import struct
import sys
import zlib
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from imageward_index.clear_copy import Put, open_copy
from imageward_index.errors import SegmentCorrupt, SegmentIncompatible
from imageward_index.sealed_cipher import TAG_BYTES, decrypt_into, write_encrypted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

MAGIC = b"IWSEALED"
FORMAT_VERSION = 1
ENCRYPTED_VERSION = 2
"""The format of an encrypted file."""

PAGE_BYTES = 4096
BLOCK_BYTES = PAGE_BYTES
"""What comes before the first array; its JSON must fit."""

PARTIAL_SUFFIX = ".partial"
"""Ends the name of a file that is being written. One found at start is a crash's."""

_PRELUDE = struct.Struct("<8sIII")
_CRC = struct.Struct("<I")
_CRC_AT = _PRELUDE.size - _CRC.size


@dataclass(frozen=True, slots=True)
class ArrayShape:
    """What an array of a sealed file is made of: a numpy dtype and its items."""

    dtype: str
    length: int

    @property
    def item_bytes(self) -> int:
        """Return the bytes of the items alone."""
        return np.dtype(self.dtype).itemsize * self.length

    @property
    def stored_bytes(self) -> int:
        """Return the bytes in the file: whole pages, one at least."""
        return max(1, -(-self.item_bytes // PAGE_BYTES)) * PAGE_BYTES


@dataclass(slots=True)
class Draft:
    """A sealed file in the making: fill the arrays, set the header.

    Attributes:
        arrays: writable, zero at first, by name; the file itself, so no copy is made.
        header: the owner's fields, of JSON's types.
    """

    arrays: dict[str, NDArray[Any]]
    header: dict[str, Any] = field(default_factory=dict)


@contextmanager
def sealing(
    path: Path, shapes: Mapping[str, ArrayShape], key: bytes | None = None
) -> Iterator[Draft]:
    """Write a sealed file; it appears under its name when the block ends, whole and durable.

    Args:
        path: the file. Its folder exists.
        shapes: the arrays, in the order in which they are stored.
        key: 32 bytes to encrypt it with, of this file alone; None to write it in clear.
            The draft is then memory of this process and not the file.

    Yields:
        The draft to fill.

    Raises:
        OSError: the disk is full or the folder cannot be written.
        ValueError: the header is longer than its block.
    """
    partial = path.with_name(path.name + PARTIAL_SUFFIX)
    try:
        memory = _reserve(partial, shapes, in_file=key is None)
        draft = Draft(_cut(memory, shapes))
        yield draft
        if key is None:
            block = _block(draft.header, _checked(memory, shapes))
            memory[:BLOCK_BYTES] = np.frombuffer(block, np.uint8)
        else:
            block = _block(draft.header, _described(shapes), copy=secrets.token_hex(16))
            with partial.open("r+b") as file:
                write_encrypted(file, key, block, memory.data[BLOCK_BYTES:])
        # This writes what the mapping changed too, and unlike the mapping's own flush
        # it leaves Python's global lock to others meanwhile.
        _sync(partial)
        partial.replace(path)
        _sync(path.parent)
    finally:
        with suppress(FileNotFoundError):
            partial.unlink()


def open_sealed(
    path: Path, key: bytes | None = None
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Map a sealed file, every byte of it checked.

    Args:
        path: the file.
        key: what it is encrypted with; None for a file in clear.

    Returns:
        The owner's header, and the arrays by name: read-only, shared with every
        process that maps the same file.

    Raises:
        SegmentCorrupt: the file is torn, flipped or no sealed file.
        SegmentIncompatible: the file is of another format version, or encrypted where it
            should not be, or not where it should.
        OSError: the file cannot be read.
    """
    if sys.byteorder != "little":
        raise SegmentIncompatible("A sealed file can be read on little-endian machines only.", path)
    size = path.stat().st_size
    if size < BLOCK_BYTES:
        raise SegmentCorrupt(f"A sealed file has {size} bytes, under its least.", path, bytes=size)
    with path.open("rb") as file:
        block = file.read(BLOCK_BYTES)
    stated = _read_block(path, block, FORMAT_VERSION if key is None else ENCRYPTED_VERSION)
    shapes = {a["name"]: ArrayShape(a["dtype"], a["length"]) for a in stated["arrays"]}
    expected = _file_bytes(shapes) + (0 if key is None else TAG_BYTES)
    if size != expected:
        raise SegmentCorrupt(
            f"A sealed file has {size} bytes where its header states {expected}.", path
        )
    if key is not None:
        return stated["header"], _cut(_decrypted(path, key, block, stated["copy"], size), shapes)
    memory = np.memmap(path, np.uint8, mode="r")
    for array, span in zip(stated["arrays"], _spans(shapes).values(), strict=True):
        if _crc(memory, span) != array["crc32"]:
            raise SegmentCorrupt(f"The array {array['name']} of a sealed file is damaged.", path)
    return stated["header"], _cut(memory, shapes)


def _decrypted(path: Path, key: bytes, block: bytes, copy: str, size: int) -> NDArray[np.uint8]:
    """Map the decrypted copy of a file; what stands in it for the header block is zeros."""
    with path.open("rb") as file:
        # So that of several processes one decrypts, and the others find what it made.
        fcntl.flock(file, fcntl.LOCK_EX)

        def fill(put: Put) -> bool:
            return decrypt_into(put, file, key, block, size)

        memory = open_copy(copy, size - TAG_BYTES, fill)
        # Nobody reads the encrypted bytes again: they need not fill the page cache.
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if memory is None:
        raise SegmentCorrupt("An encrypted file is damaged, or its key is another.", path)
    return memory


def _crc(memory: NDArray[np.uint8], span: tuple[int, int]) -> int:
    """Return the CRC-32 of a stretch of the file."""
    return zlib.crc32(memory[slice(*span)].data)


def _file_bytes(shapes: Mapping[str, ArrayShape]) -> int:
    """Return the bytes of a file with these arrays."""
    return BLOCK_BYTES + sum(shape.stored_bytes for shape in shapes.values())


def _spans(shapes: Mapping[str, ArrayShape]) -> dict[str, tuple[int, int]]:
    """Return where each array begins and where its padding ends."""
    spans, at = {}, BLOCK_BYTES
    for name, shape in shapes.items():
        spans[name] = (at, at + shape.stored_bytes)
        at += shape.stored_bytes
    return spans


def _cut(memory: NDArray[np.uint8], shapes: Mapping[str, ArrayShape]) -> dict[str, NDArray[Any]]:
    """Return the arrays within the mapped file."""
    # np.asarray: numba compiles for plain arrays, and a slice keeps the mapping alive.
    return {
        name: np.asarray(memory[begin : begin + shapes[name].item_bytes]).view(shapes[name].dtype)
        for name, (begin, _) in _spans(shapes).items()
    }


def _reserve(
    partial: Path, shapes: Mapping[str, ArrayShape], *, in_file: bool
) -> NDArray[np.uint8]:
    """Make the file with its disk space taken; map it, or set memory aside for what goes there.

    A full disk is an error here; met later, in the mapping, it would be a signal.
    """
    size = _file_bytes(shapes)
    with partial.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)
    return np.memmap(partial, np.uint8, mode="r+") if in_file else np.zeros(size, np.uint8)


def _described(shapes: Mapping[str, ArrayShape]) -> list[dict[str, Any]]:
    """Say for the header what arrays there are."""
    return [
        {"name": name, "dtype": shape.dtype, "length": shape.length}
        for name, shape in shapes.items()
    ]


def _checked(memory: NDArray[np.uint8], shapes: Mapping[str, ArrayShape]) -> list[dict[str, Any]]:
    """Say for the header what arrays there are, with the checksum of each."""
    return [
        described | {"crc32": _crc(memory, span)}
        for described, span in zip(_described(shapes), _spans(shapes).values(), strict=True)
    ]


def _block(header: Mapping[str, Any], arrays: list[dict[str, Any]], copy: str = "") -> bytes:
    """Return the header block; `copy` is given of an encrypted file alone."""
    stated = {"header": header, "arrays": arrays} | ({"copy": copy} if copy else {})
    text = json.dumps(stated).encode()
    if _PRELUDE.size + len(text) > BLOCK_BYTES:
        raise ValueError(f"A header of {len(text)} bytes does not fit its block of {BLOCK_BYTES}.")
    block = bytearray(BLOCK_BYTES)
    version = ENCRYPTED_VERSION if copy else FORMAT_VERSION
    _PRELUDE.pack_into(block, 0, MAGIC, version, len(text), 0)
    block[_PRELUDE.size : _PRELUDE.size + len(text)] = text
    _CRC.pack_into(block, _CRC_AT, zlib.crc32(block))
    return bytes(block)


def _read_block(path: Path, block: bytes, expected: int) -> dict[str, Any]:
    """Check a header block of the expected format and return its JSON."""
    magic, version, text_bytes, crc = _PRELUDE.unpack_from(block)
    if magic != MAGIC:
        raise SegmentCorrupt("A file does not begin as a sealed file does.", path)
    cleared = bytearray(block)
    _CRC.pack_into(cleared, _CRC_AT, 0)
    if zlib.crc32(cleared) != crc:
        raise SegmentCorrupt("The header of a sealed file is damaged.", path)
    if version != expected:
        raise SegmentIncompatible(
            f"A sealed file is of format {version} where {expected} is read; "
            f"{ENCRYPTED_VERSION} is encrypted.",
            path,
            format=version,
        )
    stated: dict[str, Any] = json.loads(block[_PRELUDE.size : _PRELUDE.size + text_bytes])
    return stated


def _sync(path: Path) -> None:
    """Force a file's bytes, or a folder's names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
