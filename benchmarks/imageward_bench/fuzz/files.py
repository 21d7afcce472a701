"""Small real pictures as whole files, in every format and variant that OpenCV writes."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from imageward_bench import photographs
from imageward_bench.hostile import bmp, gif, jpeg, png, webp
from imageward_bench.hostile.seeds import encode
from imageward_index.decode import cv2

SIDE = 48
"""Pixels: most of a decoder's paths need few, and small files make many executions."""

Pixels = NDArray[np.uint8]

_VARIANTS: dict[str, tuple[tuple[int, ...], ...]] = {
    ".jpg": (
        (),
        jpeg.PROGRESSIVE,
        jpeg.RESTARTING,
        (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
        (cv2.IMWRITE_JPEG_QUALITY, 100, cv2.IMWRITE_JPEG_OPTIMIZE, 1),
    ),
    ".png": ((), (cv2.IMWRITE_PNG_COMPRESSION, 0), (cv2.IMWRITE_PNG_FILTER, 0xF8)),
    ".webp": ((), webp.LOSSLESS),
    ".avif": ((cv2.IMWRITE_AVIF_SPEED, 9),),
    ".gif": ((),),
    ".tiff": tuple((cv2.IMWRITE_TIFF_COMPRESSION, kind) for kind in (1, 5, 8, 32_773)),
    ".bmp": ((),),
}
_WITH_ALPHA = (".png", ".webp", ".tiff", ".avif", ".bmp")
_OF_16_BITS = (".png", ".tiff")


def files() -> dict[str, list[bytes]]:
    """Make the files, by format."""
    pictures = [_reduced(name) for name in ("astronaut.png", "chelsea.png", "coffee.png")]
    made: dict[str, list[bytes]] = {extension: [] for extension in _VARIANTS}
    for picture in pictures:
        for extension, variants in _VARIANTS.items():
            made[extension] += [encode(picture, extension, *options) for options in variants]
    for extension, file in _rare(pictures[0]):
        made[extension].append(file)
    return made


def _reduced(name: str) -> Pixels:
    picture = cv2.imdecode(np.frombuffer(photographs.read(name), np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None, "the bundled photographs can be read"
    return np.asarray(cv2.resize(picture, (SIDE, SIDE)), np.uint8)


def _rare(picture: Pixels) -> Iterator[tuple[str, bytes]]:
    """Grey, transparent, deep, laced, indexed and run-length variants."""
    grey = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8)
    alpha = np.dstack([picture, grey])
    for extension in (".jpg", ".png", ".tiff", ".bmp"):
        yield extension, encode(grey, extension)
    for extension in _WITH_ALPHA:
        yield extension, encode(alpha, extension)
    for extension in _OF_16_BITS:
        deep = picture.astype(np.uint16) * 257
        yield extension, cv2.imencode(extension, deep)[1].tobytes()
    rows = b"".join(b"\0" + row.tobytes() for row in grey)
    pixels = png.chunk(b"IDAT", zlib.compress(rows))
    palette = png.chunk(b"PLTE", bytes(range(256)) * 3)
    clear = png.chunk(b"tRNS", bytes(range(200)))
    yield ".png", png.file_of(png.header(SIDE, SIDE, 8, png.PALETTE), palette, clear, pixels)
    yield ".png", png.bomb(SIDE, SIDE, 8, png.COLOUR, lace=1)
    yield ".gif", gif.canvas(SIDE, SIDE) + gif.frame(8, 8, gif.packed_flat(64)) * 3 + b";"
    runs = b"\x10\x40" * (SIDE * SIDE // 16)
    yield (
        ".bmp",
        bmp.file_of(SIDE, SIDE, bytes(1_024) + runs, bits=8, compression=1, offset=54 + 1_024),
    )
