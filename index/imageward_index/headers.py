"""What a file says about itself, without decoding it.

It knows the formats that are read by their first bytes, refuses structures that
cost a decoder more than they may, and reads what OpenCV leaves out: how an AVIF
is turned, and which grey of a PNG is clear. It knows neither OpenCV nor pixels.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from imageward_index.errors import UndecodableImage, UnsupportedFormat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

JPEG_SCANS_MAX: Final = 64
"""A scan is a pass over the whole picture: 506 of them in 82 kB take seconds."""

JPEG_SEGMENTS_MAX: Final = 4_096
"""Marker segments. 64 scans with tables of their own and a long ICC profile have 600."""

PNG_CHUNKS_MAX: Final = 16_384
"""20 MB in chunks of 1,220 bytes; encoders write 8,192 and more."""

AVIF_BOXES_MAX: Final = 1_024
"""Boxes in a box, and items with properties. A still picture has a dozen."""


class Turn(NamedTuple):
    """How stored pixels become upright: the quarters first, then the mirror.

    Attributes:
        quarters: quarter turns counter-clockwise, 0..3.
        mirrored: left and right are then swapped.
    """

    quarters: int
    mirrored: bool


class Header(NamedTuple):
    """What is known of an image before it is decoded.

    Attributes:
        payload: the bytes to decode.
        has_alpha: the format can carry transparency.
        premultiplied: 8-bit colours come out of the decoder weighted by their alpha.
        turn: what the file says outside of EXIF; None if EXIF is to be asked.
        clear_level: the one stored grey that stands for full transparency.
        jpeg_sides: rows and columns that a JPEG says it has; None of other formats.
    """

    payload: bytes
    has_alpha: bool = True
    premultiplied: bool = False
    turn: Turn | None = None
    clear_level: int | None = None
    jpeg_sides: tuple[int, int] | None = None


UPRIGHT: Final = Turn(0, mirrored=False)

# The values 1..8 of the EXIF tag.
_EXIF_TURNS: Final = (
    UPRIGHT,
    Turn(0, mirrored=True),
    Turn(2, mirrored=False),
    Turn(2, mirrored=True),
    Turn(3, mirrored=True),
    Turn(3, mirrored=False),
    Turn(1, mirrored=True),
    Turn(1, mirrored=False),
)
_EXIF_ORIENTATION: Final = 0x0112
_EXIF_ENTRY_BYTES: Final = 12


def read_header(data: bytes) -> Header:
    """Recognise the format and check its structure.

    Raises:
        UnsupportedFormat: there are no bytes, or they are of no format that is read.
        UndecodableImage: the structure is torn, or over a bound.
    """
    for magic, read in _READERS:
        if magic.match(data):
            return read(data)
    raise UnsupportedFormat(
        "these bytes are no JPEG, PNG, WebP, GIF, AVIF, TIFF or BMP; convert them to one",
        bytes=len(data),
    )


def read_exif_turn(exif: bytes) -> Turn:
    """Read the orientation from an EXIF block; upright where it says nothing valid."""
    tiff = exif.removeprefix(b"Exif\x00\x00")
    little = tiff.startswith(b"II")

    def number(at: int, width: int) -> int:
        return int.from_bytes(tiff[at : at + width], "little" if little else "big")

    start = number(4, 4) + 2
    count = min(number(start - 2, 2), len(tiff) // _EXIF_ENTRY_BYTES)
    for entry in range(start, start + _EXIF_ENTRY_BYTES * count, _EXIF_ENTRY_BYTES):
        if number(entry, 2) == _EXIF_ORIENTATION:
            value = number(entry + 8, 2)
            return _EXIF_TURNS[value - 1] if 1 <= value <= len(_EXIF_TURNS) else UPRIGHT
    return UPRIGHT


# Inside a scan 00 follows every FF that is data, and D0..D7 only restart it.
_JPEG_MARKER: Final = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_JPEG_WITHOUT_BODY: Final = (0x01, 0xD8)
_JPEG_SCAN: Final = 0xDA
_JPEG_END: Final = 0xD9
# SOF0..SOF15 but for DHT, JPG and DAC, which lie among them.
_JPEG_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def _read_jpeg(data: bytes) -> Header:
    scans, sides = 0, None
    for segments, (marker, body) in enumerate(_jpeg_markers(data), start=1):
        scans += marker == _JPEG_SCAN
        if marker in _JPEG_FRAMES:
            rows, columns = data[body + 3 : body + 5], data[body + 5 : body + 7]
            sides = int.from_bytes(rows, "big"), int.from_bytes(columns, "big")
        if scans > JPEG_SCANS_MAX or segments > JPEG_SEGMENTS_MAX:
            raise UndecodableImage(
                f"the JPEG has more than {JPEG_SCANS_MAX} scans or {JPEG_SEGMENTS_MAX} segments; "
                "encode it anew",
                jpeg_scans_max=JPEG_SCANS_MAX,
                jpeg_segments_max=JPEG_SEGMENTS_MAX,
            )
    # A browser shows what there is of a torn JPEG, so that much must be matched;
    # OpenCV gives up on one unless it ends as a whole one does.
    return Header(data + bytes([0xFF, _JPEG_END]), has_alpha=False, jpeg_sides=sides)


def _jpeg_markers(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield the second byte of each marker up to the end of the image, as libjpeg walks.

    With it comes where its body begins, by the two bytes of its length.
    """
    position = 2
    while found := _JPEG_MARKER.search(data, position):
        position = found.end()
        marker = data[position - 1]
        if marker == _JPEG_END:
            return
        yield marker, position
        if marker not in _JPEG_WITHOUT_BODY:
            position += int.from_bytes(data[position : position + 2], "big")


_PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_PNG_START: Final = _PNG_SIGNATURE + b"\x00\x00\x00\x0dIHDR"
# The rest are colour profiles, texts and the later frames of animations, which
# only give the decoder more to trip over.
_PNG_KEPT: Final = frozenset({b"IHDR", b"PLTE", b"tRNS", b"eXIf", b"IDAT", b"IEND"})


def _read_png(data: bytes) -> Header:
    kept = [(kind, chunk) for kind, chunk in _png_chunks(data) if kind in _PNG_KEPT]
    payload = _PNG_SIGNATURE + b"".join(chunk for _, chunk in kept)
    return Header(payload, clear_level=_png_clear_level(dict(kept)))


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the kind and the whole of each chunk up to IEND.

    OpenCV allocates the length that a chunk claims, whatever its own limits are.
    """
    position = len(_PNG_SIGNATURE)
    for _ in range(PNG_CHUNKS_MAX):
        kind = data[position + 4 : position + 8]
        end = position + 12 + int.from_bytes(data[position : position + 4], "big")
        if end > len(data) or not data.startswith(_PNG_START):
            raise UndecodableImage(
                "the PNG is torn: a chunk is longer than the rest, or the first is no IHDR",
                bytes=len(data),
            )
        yield kind, data[position:end]
        if kind == b"IEND":
            return
        position = end
    raise UndecodableImage(
        f"the PNG has more than {PNG_CHUNKS_MAX} chunks; encode it anew",
        png_chunks_max=PNG_CHUNKS_MAX,
    )


def _png_clear_level(chunks: dict[bytes, bytes]) -> int | None:
    """The grey, as OpenCV decodes it, that a tRNS chunk makes clear in a grey PNG.

    OpenCV honours tRNS for colours and palettes only.
    """
    depth, colour = chunks[b"IHDR"][16], chunks[b"IHDR"][17]
    if colour != 0 or b"tRNS" not in chunks:
        return None
    level = int.from_bytes(chunks[b"tRNS"][8:10], "big")
    return level * 255 // (2**depth - 1) if 0 < depth < 8 else level  # noqa: PLR2004 bits of a byte


def _read_avif(data: bytes) -> Header:
    return Header(data, turn=_avif_turn(data))


def _avif_turn(data: bytes) -> Turn:
    """Read irot and imir of the primary item, ISO/IEC 23008-12; EXIF does not count there."""
    nothing = memoryview(b"")
    # meta and pitm start with four bytes of version and flags.
    meta = dict(_boxes(dict(_boxes(memoryview(data))).get(b"meta", nothing)[4:]))
    primary = int.from_bytes(meta.get(b"pitm", nothing)[4:], "big")
    item_properties = dict(_boxes(meta.get(b"iprp", nothing)))
    properties = list(_boxes(item_properties.get(b"ipco", nothing)))
    quarters, mirrored = 0, False
    for number in _avif_properties(item_properties.get(b"ipma", nothing), primary):
        kind, body = properties[number - 1] if 1 <= number <= len(properties) else (b"", nothing)
        value = int.from_bytes(body[:1], "big")
        if kind == b"irot":
            quarters += value & 3
        elif kind == b"imir":
            # Axis 0 swaps top and bottom, which is half a turn and then axis 1.
            mirrored, quarters = True, quarters + (0 if value & 1 else 2)
    return Turn(quarters % 4, mirrored)


def _boxes(body: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Yield kind and body of the boxes in a box, ISO/IEC 14496-12."""
    for _ in range(AVIF_BOXES_MAX):
        if not body:
            return
        length, head = int.from_bytes(body[:4], "big"), 8
        if length == 1:
            length, head = int.from_bytes(body[8:16], "big"), 16
        elif length == 0:
            length = len(body)
        if not head <= length <= len(body):
            raise UndecodableImage("the AVIF is torn: a box is longer than the rest")
        yield bytes(body[4:8]), body[head:length]
        body = body[length:]
    raise UndecodableImage(
        f"the AVIF has more than {AVIF_BOXES_MAX} boxes in a row; encode it anew",
        avif_boxes_max=AVIF_BOXES_MAX,
    )


def _avif_properties(associations: memoryview, item: int) -> list[int]:
    """Read from an ipma box the numbers, from 1, of the properties of one item."""
    stream = io.BytesIO(associations)

    def number(width: int) -> int:
        return int.from_bytes(stream.read(width), "big")

    item_bytes = 4 if number(1) else 2
    property_bytes = 2 if number(3) & 1 else 1
    essential = 1 << (8 * property_bytes - 1)
    for _ in range(min(number(4), AVIF_BOXES_MAX)):
        owner = number(item_bytes)
        numbers = [number(property_bytes) & ~essential for _ in range(number(1))]
        if owner == item:
            return numbers
    return []


_READERS: Final[tuple[tuple[re.Pattern[bytes], Callable[[bytes], Header]], ...]] = (
    (re.compile(rb"\xff\xd8\xff"), _read_jpeg),
    (re.compile(re.escape(_PNG_SIGNATURE)), _read_png),
    (re.compile(rb"RIFF.{4}WEBP", re.DOTALL), Header),
    (re.compile(rb"GIF8[79]a"), Header),
    # The brand may be the major one or among the compatible ones.
    (re.compile(rb"\x00\x00\x00.ftyp(?:.{4}){0,16}?avi[fs]", re.DOTALL), _read_avif),
    # libtiff weights 8-bit colours by their alpha.
    (
        re.compile(rb"II[*+]\x00|MM\x00[*+]"),
        lambda data: Header(data, premultiplied=True),
    ),
    # The alpha of a BMP is unset more often than meant.
    (
        re.compile(rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\x00{3}", re.DOTALL),
        lambda data: Header(data, has_alpha=False),
    ),
)
