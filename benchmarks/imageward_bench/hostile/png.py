"""PNG files made to hurt."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from functools import partial

from imageward_bench.hostile.seeds import flipped, noise, small

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, COLOUR, PALETTE, CLEAR_COLOUR = 0, 2, 3, 6
_CHANNELS = {GREY: 1, COLOUR: 3, PALETTE: 1, CLEAR_COLOUR: 4}


def chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk with its length and checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def header(width: int, height: int, depth: int = 8, colour: int = COLOUR, lace: int = 0) -> bytes:
    """The IHDR chunk."""
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, lace))


def file_of(*chunks: bytes) -> bytes:
    """A file of chunks."""
    return SIGNATURE + b"".join(chunks) + chunk(b"IEND", b"")


def _zeros(length: int) -> bytes:
    """Compressed zeros, without holding them all."""
    packer, block = zlib.compressobj(1), bytes(2**20)
    parts = [packer.compress(block) for _ in range(length // len(block))]
    return b"".join([*parts, packer.compress(bytes(length % len(block))), packer.flush()])


def bomb(width: int, height: int, depth: int, colour: int, *extra: bytes, lace: int = 0) -> bytes:
    """A small file of many black pixels."""
    row_bytes = 1 + -(-width * depth * _CHANNELS[colour] // 8)
    # Interlaced there are up to twice as many rows.
    pixels = _zeros(row_bytes * height * (1 + lace))
    return file_of(header(width, height, depth, colour, lace), *extra, chunk(b"IDAT", pixels))


def _forged(kind: bytes) -> bytes:
    return SIGNATURE + header(8, 8) + b"\x70\x00\x00\x00" + kind + bytes(20)


def _many_chunks(kind: bytes, count: int) -> bytes:
    return file_of(header(8, 8), *[chunk(kind, b"a\0b")] * count, chunk(b"IDAT", _zeros(200)))


def _crumbled() -> bytes:
    """Every byte of the pixels in a chunk of its own."""
    packed = zlib.compress(noise(15_000))
    parts = (chunk(b"IDAT", packed[at : at + 1]) for at in range(len(packed)))
    return file_of(header(100, 50), *parts)


def _animated() -> bytes:
    control = chunk(b"acTL", struct.pack(">II", 60_000, 0))
    frame = chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 8, 8, 0, 0, 1, 1, 0, 0))
    frames = [frame + chunk(b"fdAT", struct.pack(">I", 1) + _zeros(200))] * 3_000
    return file_of(header(8, 8), control, frame, chunk(b"IDAT", _zeros(200)), *frames)


FAMILIES: dict[str, Callable[[], bytes]] = {
    "forged length of a profile": partial(_forged, b"iCCP"),
    "forged length of pixels": partial(_forged, b"IDAT"),
    "144 MP": lambda: file_of(header(12_000, 12_000), chunk(b"IDAT", _zeros(36_001 * 1_000))),
    "100 MP with alpha": lambda: file_of(
        header(10_000, 10_000, 8, CLEAR_COLOUR), chunk(b"IDAT", _zeros(40_001 * 1_000))
    ),
    "40 MP with alpha": partial(bomb, 8_000, 5_000, 8, CLEAR_COLOUR),
    "40 MP in colour": partial(bomb, 8_000, 5_000, 8, COLOUR),
    "20 MP of 16 bits with alpha": partial(bomb, 5_000, 4_000, 16, CLEAR_COLOUR),
    "100 MP of one bit": partial(bomb, 10_000, 10_000, 1, GREY),
    "40 MP of a palette": partial(
        bomb, 8_000, 5_000, 8, PALETTE, chunk(b"PLTE", bytes(768)), chunk(b"tRNS", bytes(256))
    ),
    "30 MP interlaced": partial(bomb, 6_000, 5_000, 8, COLOUR, lace=1),
    "one row": partial(bomb, 16_384, 1, 8, COLOUR),
    "one column": partial(bomb, 1, 16_384, 8, COLOUR),
    "no rows": lambda: file_of(header(8, 0), chunk(b"IDAT", _zeros(200))),
    "pixels for a larger picture": lambda: file_of(
        header(8, 8), chunk(b"IDAT", _zeros(500_000_000))
    ),
    "too many chunks": partial(_many_chunks, b"tEXt", 20_000),
    "many chunks": partial(_many_chunks, b"tEXt", 16_000),
    "pixels in crumbs": _crumbled,
    "text that unpacks to 100 MB": lambda: file_of(
        header(8, 8), chunk(b"zTXt", b"a\0\0" + _zeros(10**8)), chunk(b"IDAT", _zeros(200))
    ),
    "three thousand frames": _animated,
    "bad depth": lambda: file_of(header(8, 8, 3, COLOUR), chunk(b"IDAT", _zeros(200))),
    "torn": lambda: small(".png")[:-3_000],
    "wrong checksums": lambda: flipped(small(".png"), 0.01, 40),
    "noise as pixels": lambda: file_of(header(900, 900), chunk(b"IDAT", noise(100_000))),
}
