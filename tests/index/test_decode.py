"""Every format as a person sees it, every bound from both sides, and hostile bytes."""

from __future__ import annotations

import os
import random
import resource
import struct
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pdqhash
import pytest
import tifffile
from PIL import Image

from imageward_index.decode import (
    IMAGE_BYTES_MAX,
    IMAGE_PIXELS_MAX,
    IMAGE_SIDE_MAX,
    JPEG_SCANS_MAX,
    decode_grey,
)
from imageward_index.errors import (
    ImageTooLarge,
    InvalidImage,
    UndecodableImage,
    UnsupportedFormat,
)
from imageward_index.headers import AVIF_BOXES_MAX, JPEG_SEGMENTS_MAX, PNG_CHUNKS_MAX
from imageward_index.pdq import hash_grey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Grey = NDArray[np.uint8]

ROOT: Final = Path(__file__).resolve().parents[2]
SHARED: Final = ROOT.parent / "shared" / "data"
SEED: Final = 20_170_809
EXIF_ORIENTATION: Final = 0x0112

# How stored pixels are shown, for the values 1..8 of the EXIF tag.
SHOWN: Final[dict[int, Callable[[Grey], Grey]]] = {
    1: lambda picture: picture,
    2: np.fliplr,
    3: lambda picture: np.rot90(picture, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda picture: np.rot90(picture, -1),
    7: lambda picture: np.rot90(picture, 2).T,
    8: np.rot90,
}


def scene() -> Image.Image:
    """A smooth picture in colour that no turn or mirror leaves alike, 48 x 32."""
    rows, columns = np.mgrid[0:32, 0:48]
    red = 40 + 4 * columns
    green = 250 - 6 * rows
    blue = 30 + 2 * rows + columns
    return Image.fromarray(np.dstack([red, green, blue]).astype(np.uint8))


def veiled(mode: str = "RGBA") -> Image.Image:
    """The scene: left third clear, the middle half clear, the right opaque."""
    alpha = np.full((32, 48), 255, np.uint8)
    alpha[:, :16], alpha[:, 16:32] = 0, 128
    picture = scene().convert(mode)
    picture.putalpha(Image.fromarray(alpha))
    return picture


def in_mode(mode: str) -> Image.Image:
    """The scene in one of Pillow's modes."""
    if mode in {"LA", "RGBA"}:
        return veiled(mode)
    if mode == "I;16":
        return Image.fromarray(np.asarray(scene().convert("L")).astype(np.uint16) * 257)
    return scene().convert(mode)


def encode(picture: Image.Image, file_format: str, **options: Any) -> bytes:  # noqa: ANN401 Pillow's own
    """The bytes of a file."""
    file = BytesIO()
    picture.save(file, file_format, **options)
    return file.getvalue()


def tiff(pixels: NDArray[Any], **options: Any) -> bytes:  # noqa: ANN401 tifffile's own
    """The bytes of a TIFF that Pillow cannot write."""
    file = BytesIO()
    tifffile.imwrite(file, pixels, **options)
    return file.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(shape: tuple[int, int], depth: int, colour: int, rows: bytes, *extra: bytes) -> bytes:
    """A PNG from raw scan lines; `extra` chunks come before the pixels."""
    header = struct.pack(">IIBBBBB", shape[1], shape[0], depth, colour, 0, 0, 0)
    chunks = [chunk(b"IHDR", header), *extra, chunk(b"IDAT", zlib.compress(rows))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + chunk(b"IEND", b"")


def seen(picture: Image.Image) -> Grey:
    """The grey that a person sees over white, by Pillow."""
    if picture.mode == "I;16":
        return (np.asarray(picture) // 257).astype(np.uint8)
    if picture.mode in {"LA", "RGBA"}:
        shown = picture.convert("RGBA")
        white = Image.new("RGBA", shown.size, "white")
        picture = Image.alpha_composite(white, shown).convert("RGB")
    return np.asarray(picture.convert("L"))


def difference(grey: Grey, expected: Grey) -> float:
    """The mean absolute difference in shades; the shapes are the same."""
    assert grey.shape == expected.shape
    return float(np.abs(grey.astype(int) - expected.astype(int)).mean())


# --- every format ---

WRITTEN: Final = [
    *[("PNG", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")],
    *[("JPEG", mode) for mode in ("L", "RGB", "CMYK")],
    *[("WEBP", mode) for mode in ("L", "RGB", "RGBA")],
    *[("GIF", mode) for mode in ("1", "L", "P", "RGB")],
    *[("AVIF", mode) for mode in ("L", "RGB", "LA", "RGBA")],
    *[("TIFF", mode) for mode in ("1", "L", "P", "RGB", "RGBA", "CMYK", "I;16")],
    *[("BMP", mode) for mode in ("1", "L", "P", "RGB")],
]


@pytest.mark.parametrize(("file_format", "mode"), WRITTEN)
def test_every_mode_decodes_as_it_is_seen(file_format: str, mode: str) -> None:
    """Whatever the format and mode, the grey is what a person sees over white."""
    picture = in_mode(mode)
    grey = decode_grey(encode(picture, file_format))

    assert (str(grey.dtype), grey.flags.c_contiguous) == ("uint8", True)
    assert difference(grey, seen(picture)) < 3


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "tiff_lzw"},
        {"compression": "tiff_adobe_deflate"},
        {"compression": "packbits"},
        {"compression": "jpeg", "quality": 95},
        {"big_tiff": True},
    ],
)
def test_every_tiff_decodes(options: dict[str, Any]) -> None:
    """The usual compressions of TIFF are read."""
    assert difference(decode_grey(encode(scene(), "TIFF", **options)), seen(scene())) < 3


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_every_jpeg_decodes(*, subsampling: str, progressive: bool) -> None:
    """Baseline and progressive JPEGs of every usual subsampling are read."""
    data = encode(scene(), "JPEG", quality=95, progressive=progressive, subsampling=subsampling)

    assert difference(decode_grey(data), seen(scene())) < 2


@pytest.mark.parametrize("colour", [2, 6])
def test_16_bit_colour_is_scaled(colour: int) -> None:
    """The upper of 16 bits a channel is what is seen, with alpha and without."""
    channels = np.asarray(in_mode({2: "RGB", 6: "RGBA"}[colour])).astype(">u2") * 257
    rows = b"".join(b"\0" + row.tobytes() for row in channels.astype(">u2"))
    grey = decode_grey(png((32, 48), 16, colour, rows))

    assert difference(grey, seen(in_mode({2: "RGB", 6: "RGBA"}[colour]))) < 1


@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "GIF", "AVIF"])
def test_the_first_frame_is_read(file_format: str) -> None:
    """Of an animation the first frame is hashed."""
    frames = [scene(), Image.new("RGB", (48, 32), "black")]
    data = encode(frames[0], file_format, save_all=True, append_images=frames[1:], duration=100)

    assert difference(decode_grey(data), seen(scene())) < 4


@pytest.mark.parametrize("pixels", [np.zeros((8, 8), np.float32), np.zeros((8, 8), np.int16)])
def test_other_samples_are_refused(pixels: NDArray[Any]) -> None:
    """A TIFF of floating point or signed samples has no range to be scaled from."""
    with pytest.raises(UnsupportedFormat, match=str(pixels.dtype)):
        decode_grey(tiff(pixels))


# --- orientation ---


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_every_orientation_is_turned_upright(file_format: str, mode: str, orientation: int) -> None:
    """A picture is hashed as it is shown: EXIF, and irot and imir in AVIF, are applied."""
    if (file_format, mode) == ("JPEG", "RGBA"):
        mode = "CMYK"
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    picture = in_mode(mode)
    grey = decode_grey(encode(picture, file_format, exif=exif))

    assert difference(grey, SHOWN[orientation](seen(picture))) < 3


@pytest.mark.parametrize("value", [0, 9, 65_535])
def test_other_orientations_are_upright(value: int) -> None:
    """An EXIF orientation that means nothing leaves the picture as it is stored."""
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = value

    assert difference(decode_grey(encode(scene(), "PNG", exif=exif)), seen(scene())) < 1


# --- transparency ---


def with_hidden(colour: tuple[int, int, int]) -> Image.Image:
    """The veiled scene with another colour where it is clear."""
    picture = veiled()
    pixels = np.array(picture)
    pixels[pixels[..., 3] == 0, :3] = colour
    return Image.fromarray(pixels)


@pytest.mark.parametrize(
    ("file_format", "options"),
    [
        ("PNG", {}),
        ("WEBP", {"lossless": True, "exact": True}),
        ("AVIF", {"quality": 100, "subsampling": "4:4:4"}),
        ("TIFF", {}),
    ],
)
def test_hidden_colours_stay_hidden(file_format: str, options: dict[str, Any]) -> None:
    """Colours under full transparency are white, whatever they are."""
    black, red = (
        decode_grey(encode(with_hidden(colour), file_format, **options))
        for colour in ((0, 0, 0), (255, 0, 0))
    )

    assert black[:, :12].min() == 255
    assert red[:, :12].min() == 255


@pytest.mark.parametrize("file_format", ["PNG", "GIF"])
def test_clear_palette_entries_are_white(file_format: str) -> None:
    """A transparent entry of a palette is white."""
    picture = scene().convert("P")
    entry = picture.getpixel((10, 10))
    grey = decode_grey(encode(picture, file_format, transparency=entry))

    clear = np.asarray(picture) == entry
    assert set(grey[clear].tolist()) == {255}
    assert difference(grey[~clear], seen(picture)[~clear]) < 2


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_a_clear_grey_is_white(depth: int) -> None:
    """The one level that tRNS makes clear in a grey PNG is white, at every depth."""
    pixels_a_byte, bytes_a_pixel = max(8 // depth, 1), max(depth // 8, 1)
    first, second = (1).to_bytes(bytes_a_pixel), (0).to_bytes(bytes_a_pixel)
    if depth < 8:
        first = bytes([1 << (8 - depth)])  # the leftmost pixel has level 1
        rows = b"\0" + first
        shape = (1, pixels_a_byte)
    else:
        rows, shape = b"\0" + first + second, (1, 2)
    grey = decode_grey(png(shape, depth, 0, rows, chunk(b"tRNS", struct.pack(">H", 1))))

    assert grey.tolist() == [[255] + [0] * (shape[1] - 1)]


def test_unassociated_tiff_is_over_white() -> None:
    """A TIFF with straight or with weighted alpha gives the same grey over white."""
    straight = np.zeros((8, 8, 4), np.uint8) + np.array([200, 30, 60, 128], np.uint8)
    weighted = np.zeros((8, 8, 4), np.uint8) + np.array([100, 15, 30, 128], np.uint8)
    greys = [
        decode_grey(tiff(straight, photometric="rgb", extrasamples=["unassalpha"])),
        decode_grey(tiff(weighted, photometric="rgb", extrasamples=["assocalpha"])),
    ]

    expected = seen(Image.fromarray(straight))
    assert [difference(grey, expected) < 2 for grey in greys] == [True, True]


# --- bounds ---


def test_bounds_are_the_documented_ones() -> None:
    """The bounds that users of the service are told are the ones enforced."""
    bounds = (IMAGE_BYTES_MAX, IMAGE_PIXELS_MAX, IMAGE_SIDE_MAX, JPEG_SCANS_MAX)

    assert bounds == (20_000_000, 100_000_000, 16_384, 64)


def test_bytes_are_bounded() -> None:
    """20,000,000 bytes are read, one more is refused before it is looked at."""
    data = encode(scene(), "JPEG")
    full = data + bytes(IMAGE_BYTES_MAX - len(data))

    assert decode_grey(full).shape == (32, 48)
    with pytest.raises(ImageTooLarge) as caught:
        decode_grey(full + b"\0")
    assert caught.value.metadata == {"bytes": "20000001", "bytes_max": "20000000"}


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "GIF", "TIFF", "BMP"])
@pytest.mark.parametrize("size", [(1, 0), (0, 1)], ids=["width", "height"])
def test_sides_are_bounded(file_format: str, size: tuple[int, int]) -> None:
    """A side of 16,384 pixels is read, one more is refused, in each format that can say so."""
    wide, high = (max(side * IMAGE_SIDE_MAX, 2) for side in size)
    data = encode(Image.new("L", (wide, high)), file_format)
    larger = encode(Image.new("L", (wide + size[0], high + size[1])), file_format)

    assert decode_grey(data).shape == (high, wide)
    with pytest.raises(ImageTooLarge) as caught:
        decode_grey(larger)
    assert caught.value.metadata["side_max"] == str(IMAGE_SIDE_MAX)


def test_avif_sides_are_bounded() -> None:
    """A side of an AVIF is bounded too; a WebP cannot have a longer one than 16,383."""
    with pytest.raises(ImageTooLarge):
        decode_grey(encode(Image.new("L", (IMAGE_SIDE_MAX + 1, 8)), "AVIF", speed=10))


def test_pixels_are_bounded() -> None:
    """100,000,000 pixels are read, 10,000 more are refused."""
    data = encode(Image.new("1", (10_000, 10_000)), "TIFF", compression="group4")
    larger = encode(Image.new("1", (10_000, 10_001)), "TIFF", compression="group4")

    assert decode_grey(data).size == IMAGE_PIXELS_MAX
    with pytest.raises(ImageTooLarge):
        decode_grey(larger)


def with_scans(scans: int) -> bytes:
    """A progressive JPEG whose last scan is repeated until it has so many."""
    data = encode(scene(), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * (scans - data.count(b"\xff\xda") + 1) + data[-2:]


def test_scans_are_bounded() -> None:
    """64 scans of a JPEG are read, 65 are refused."""
    assert with_scans(JPEG_SCANS_MAX).count(b"\xff\xda") == JPEG_SCANS_MAX
    assert difference(decode_grey(with_scans(JPEG_SCANS_MAX)), seen(scene())) < 6
    with pytest.raises(UndecodableImage) as caught:
        decode_grey(with_scans(JPEG_SCANS_MAX + 1))
    assert caught.value.metadata["jpeg_scans_max"] == str(JPEG_SCANS_MAX)


def test_scans_of_a_thumbnail_do_not_count() -> None:
    """Bytes that look like scans inside a segment are no scans."""
    data = encode(scene(), "JPEG", exif=b"Exif\0\0" + b"\xff\xda\x00\x02" * 500)

    assert decode_grey(data).shape == (32, 48)


# --- hostile bytes ---

PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
PNG_HEADER: Final = PNG_SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0))
AVIF_BRAND: Final = b"\x00\x00\x00\x1cftypavif\0\0\0\0avifmif1miaf"


def forged_png(kind: bytes) -> bytes:
    """A PNG of 60 bytes with a chunk that claims to have 1.9 GB."""
    return PNG_HEADER + b"\x70\x00\x00\x00" + kind + bytes(20)


def png_bomb() -> bytes:
    """A small PNG that claims 12,000 x 12,000 pixels."""
    return png((12_000, 12_000), 8, 2, bytes(36_001 * 1_000))


# Each with the error, and a word that says what it was refused for.
HOSTILE: Final[dict[str, tuple[Callable[[], bytes], type[InvalidImage], str]]] = {
    **{
        f"PNG with a forged {kind.decode()}": (
            partial(forged_png, kind),
            UndecodableImage,
            "PNG is torn",
        )
        for kind in (b"IDAT", b"PLTE", b"eXIf", b"tEXt", b"iCCP", b"acTL", b"fdAT")
    },
    "PNG without a header": (
        lambda: PNG_SIGNATURE + chunk(b"IEND", b""),
        UndecodableImage,
        "PNG is torn",
    ),
    "PNG with a short header": (
        lambda: PNG_SIGNATURE + chunk(b"IHDR", b"") + chunk(b"IEND", b""),
        UndecodableImage,
        "PNG is torn",
    ),
    "PNG of chunks": (
        lambda: PNG_HEADER + chunk(b"tEXt", b"") * (PNG_CHUNKS_MAX + 1),
        UndecodableImage,
        "chunks",
    ),
    "PNG of no size": (lambda: png((0, 0), 8, 2, b""), UndecodableImage, "forged"),
    "PNG bomb": (png_bomb, ImageTooLarge, "pixels"),
    "JPEG of scans": (lambda: with_scans(506), UndecodableImage, "scans"),
    "JPEG of segments": (
        lambda: b"\xff\xd8" + b"\xff\xe0\x00\x02" * (JPEG_SEGMENTS_MAX + 1),
        UndecodableImage,
        "segments",
    ),
    "JPEG of fill bytes": (lambda: b"\xff\xd8" + b"\xff" * 19_000_000, UndecodableImage, "forged"),
    "JPEG of stuffed bytes": (
        lambda: b"\xff\xd8\xff\xe0\x00\x02" + b"\xff\x00" * 9_000_000,
        UndecodableImage,
        "forged",
    ),
    "AVIF of boxes": (
        lambda: AVIF_BRAND + b"\x00\x00\x00\x08free" * (AVIF_BOXES_MAX + 1),
        UndecodableImage,
        "boxes",
    ),
    "AVIF with a box beyond the end": (
        lambda: AVIF_BRAND + b"\x7f\0\0\0meta",
        UndecodableImage,
        "AVIF is torn",
    ),
    "AVIF with a box that never ends": (
        lambda: AVIF_BRAND + b"\0\0\0\x01meta" + bytes(8),
        UndecodableImage,
        "AVIF is torn",
    ),
    "BMP of no pixels": (
        lambda: b"BM" + struct.pack("<I4xIIiiHH24x", 54, 54, 40, 9_000, 9_000, 1, 24),
        UndecodableImage,
        "forged",
    ),
    "GIF of nothing": (lambda: b"GIF89a" + bytes(1_000), UndecodableImage, "forged"),
    "WebP of nothing": (lambda: b"RIFF\0\0\0\0WEBP" + bytes(1_000), UndecodableImage, "forged"),
    "TIFF of nothing": (lambda: b"II*\0" + bytes(1_000), UndecodableImage, "forged"),
    "TIFF with a far directory": (lambda: b"II*\0" + b"\xff" * 1_000, UndecodableImage, "forged"),
}


@contextmanager
def memory_bounded(more_bytes: int) -> Iterator[None]:
    """At most so much more than the process has already."""
    limits = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    bound = pages * resource.getpagesize() + more_bytes
    resource.setrlimit(resource.RLIMIT_AS, (bound, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


@pytest.mark.timeout(5)
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes_are_refused(name: str) -> None:
    """Forged files are refused for what they are, in 5 s and 100 MB at most."""
    make, expected, reason = HOSTILE[name]
    data = make()

    with memory_bounded(100_000_000), pytest.raises(InvalidImage, match=reason) as caught:
        decode_grey(data)
    assert caught.type is expected


# A new process, for an old one has memory in hand.
DECODE_IN_LITTLE_MEMORY: Final = """
import resource, sys
from pathlib import Path
from imageward_index.decode import decode_grey
from imageward_index.errors import ImageTooLarge

data = sys.stdin.buffer.read()
pages = int(Path("/proc/self/statm").read_text().split()[0])
bound = pages * resource.getpagesize() + int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
try:
    decode_grey(data)
except ImageTooLarge as error:
    print(type(error.__cause__).__name__)
"""


@pytest.mark.parametrize(
    ("more_bytes", "chunks", "cause"),
    [(50_000_000, [], "error"), (90_000_000, [chunk(b"tRNS", b"\0\0")], "MemoryError")],
    ids=["in OpenCV", "in numpy"],
)
def test_want_of_memory_is_too_large(more_bytes: int, chunks: list[bytes], cause: str) -> None:
    """An image within the bounds that takes more memory than there is is too large."""
    # 36 MB of pixels: OpenCV takes them twice, and a clear grey takes them thrice.
    run = subprocess.run(
        [sys.executable, "-c", DECODE_IN_LITTLE_MEMORY, str(more_bytes)],
        input=png((6_000, 6_000), 8, 0, bytes(6_001 * 6_000), *chunks),
        capture_output=True,
        check=True,
    )

    assert run.stdout.decode().strip() == cause


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"hello, world",
        b"BM is how this text starts, and it goes on",
        b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        b"P6 2 2 255 " + bytes(12),
        b"Pf 2 2 -1.0\n" + bytes(16),
        b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 1 +X 1\n" + bytes(4),
        b"\x76\x2f\x31\x01\x02\x00\x00\x00" + bytes(40),
        b"\x59\xa6\x6a\x95" + bytes(40),
        b"\x00\x00\x00\x0cjP  \r\n\x87\n" + bytes(40),
        b"\xff\x4f\xff\x51" + bytes(40),
        b"\x00\x00\x00\x18ftypheic\0\0\0\0mif1heic" + bytes(40),
        b"\x00\x00\x00\x18ftypisom\0\0\0\0isomiso2" + bytes(40),
        b"\x1a\x45\xdf\xa3" + bytes(40),
        b"%PDF-1.7\n",
        b"\x00\x00\x01\x00\x01\x00" + bytes(40),
    ],
    ids=lambda data: repr(data[:12]),
)
def test_other_formats_are_refused(data: bytes) -> None:
    """What is on no list never reaches a decoder, JPEG 2000, EXR, HDR and PNM among it."""
    with pytest.raises(UnsupportedFormat) as caught:
        decode_grey(data)

    assert caught.value.metadata == {"bytes": str(len(data))}


def test_jpeg_2000_is_refused() -> None:
    """A whole JPEG 2000 is refused though OpenCV would decode it."""
    with pytest.raises(UnsupportedFormat):
        decode_grey(encode(scene(), "JPEG2000"))


@pytest.mark.parametrize("progressive", [False, True])
def test_a_torn_jpeg_decodes_as_far_as_it_goes(*, progressive: bool) -> None:
    """A browser shows the upper part of a torn JPEG, so it is hashed."""
    picture = scene().resize((480, 320))
    data = encode(picture, "JPEG", quality=95, progressive=progressive)
    grey = decode_grey(data[: len(data) * 4 // 5])

    assert difference(grey[:100], seen(picture)[:100]) < 3


@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "GIF", "AVIF", "TIFF", "BMP"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.99])
def test_other_torn_files_are_refused(file_format: str, share: float) -> None:
    """Formats whose decoders give nothing for a torn file are refused as torn."""
    data = encode(scene().resize((480, 320)), file_format)

    with pytest.raises(UndecodableImage):
        decode_grey(data[: int(len(data) * share)])


def mutated(data: bytes, dice: random.Random) -> bytes:
    """The bytes with up to eight of them changed, more often near the start."""
    changed = bytearray(data)
    for _ in range(dice.randint(1, 8)):
        place = dice.randrange(len(data) if dice.random() < 0.4 else min(len(data), 200))
        changed[place] = dice.choice((0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)))
    return bytes(changed)


@pytest.mark.parametrize(("file_format", "mode"), WRITTEN)
def test_mutated_files_raise_nothing_else(file_format: str, mode: str) -> None:
    """200 damaged files of every kind decode, or raise an error of an image."""
    dice = random.Random(f"{SEED} {file_format} {mode}")
    data = encode(in_mode(mode), file_format)
    with memory_bounded(300_000_000):
        for _ in range(200):
            try:
                grey = decode_grey(mutated(data, dice))
            except InvalidImage:
                continue
            assert grey.dtype == np.uint8


# --- the process ---


def test_a_broken_colour_profile_is_not_mentioned(capfd: pytest.CaptureFixture[str]) -> None:
    """Chunks that do not make the picture are not read, so libpng has nothing to warn of."""
    profile = chunk(b"iCCP", b"name\0\0" + zlib.compress(bytes(200)))
    decode_grey(png((1, 1), 8, 2, bytes(4), profile))

    assert capfd.readouterr().err == ""


def test_opencv_does_not_log(capfd: pytest.CaptureFixture[str]) -> None:
    """What OpenCV says of a file it cannot read stays out of the server's log."""
    with pytest.raises(UndecodableImage):
        decode_grey(b"GIF89a" + bytes(1_000))

    assert capfd.readouterr().err == ""


def test_threads_agree() -> None:
    """Pictures that eight threads decode at once equal those that one decodes."""
    files = [encode(in_mode(mode), file_format) for file_format, mode in WRITTEN] * 4
    with ThreadPoolExecutor(8) as pool:
        threaded = [grey.tolist() for grey in pool.map(decode_grey, files)]

    assert threaded == [decode_grey(data).tolist() for data in files]


def test_opencv_without_limits_is_refused() -> None:
    """A process that loads OpenCV before the limits are set fails at the start."""
    script = "import cv2; import imageward_index.decode"
    # The limits that this very process has set must not be inherited.
    environment = {name: value for name, value in os.environ.items() if "OPENCV" not in name}
    run = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 1
    assert "import imageward_index.decode before cv2" in run.stderr


def test_the_short_way_of_jpeg_keeps_hashes() -> None:
    """The luminance of a JPEG hashes within 4 bits of its colours decoded by another library."""
    photographs = sorted((SHARED / "photos").glob("*.jpg"))
    if not photographs:
        pytest.skip("the shared photographs are not on this machine")
    distances_bits = []
    for path in photographs:
        colours = np.array(Image.open(path).convert("RGB"))
        bits, _ = pdqhash.compute(colours)
        peer = np.packbits(bits.astype(np.uint8)).tobytes()
        code = hash_grey(decode_grey(path.read_bytes())).code
        distances_bits.append((int.from_bytes(code) ^ int.from_bytes(peer)).bit_count())

    assert max(distances_bits) <= 4
    assert sum(distances_bits) / len(distances_bits) < 1
