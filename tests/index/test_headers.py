"""What files say about themselves, in forms that no encoder at hand writes."""

from __future__ import annotations

import struct

import pytest

from imageward_index.headers import UPRIGHT, Turn, read_exif_turn, read_header


def box(kind: bytes, *body: bytes) -> bytes:
    """A box of an AVIF."""
    content = b"".join(body)
    return struct.pack(">I", 8 + len(content)) + kind + content


def avif(*, version: int, wide: bool, primary: int) -> bytes:
    """Item 1 is a quarter turned, item 2 is mirrored top to bottom; no pixels."""
    item, number = ">I" if version else ">H", ">H" if wide else ">B"
    essential = 0x8000 if wide else 0x80
    associations = b"".join(
        struct.pack(item, owner) + b"\x02" + struct.pack(number, 1) + struct.pack(number, turn)
        for owner, turn in ((1, essential | 2), (2, essential | 3))
    )
    properties = box(b"ipco", box(b"ispe", bytes(12)), box(b"irot", b"\x01"), box(b"imir", b"\x00"))
    association = struct.pack(">BBBBI", version, 0, 0, wide, 2) + associations
    return box(b"ftyp", b"mif1", bytes(4), b"mif1avif") + box(
        b"meta",
        bytes(4),
        box(b"pitm", bytes(4), struct.pack(item, primary)),
        box(b"iprp", properties, box(b"ipma", association)),
    )


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize(
    ("primary", "turn"),
    [(1, Turn(1, mirrored=False)), (2, Turn(2, mirrored=True)), (3, UPRIGHT)],
)
def test_an_avif_is_turned_as_its_primary_item(
    *, version: int, wide: bool, primary: int, turn: Turn
) -> None:
    """Only the properties of the primary item count, in every width of the association box."""
    assert read_header(avif(version=version, wide=wide, primary=primary)).turn == turn


@pytest.mark.parametrize(
    "properties", [b"", b"\x00", struct.pack(">BBBBI", 0, 0, 0, 0, 2**32 - 1) + b"\xff" * 400]
)
def test_forged_avif_properties_are_upright(properties: bytes) -> None:
    """Associations that are cut short, or too many, or to nothing, turn nothing."""
    data = box(b"ftyp", b"avif", bytes(4)) + box(
        b"meta",
        bytes(4),
        box(b"pitm", bytes(4), b"\xff\xff"),
        box(b"iprp", box(b"ipco", box(b"irot", b"\x01")), box(b"ipma", properties)),
    )

    assert read_header(data).turn == UPRIGHT


def exif(order: str, orientation: int) -> bytes:
    """An EXIF block of two entries, the second the orientation."""
    mark = {"<": b"II*\0", ">": b"MM\0*"}[order]
    entries = [(0x010F, 3, 1, 7, 0), (0x0112, 3, 1, orientation, 0)]
    packed = b"".join(struct.pack(order + "HHIHH", *entry) for entry in entries)
    return mark + struct.pack(order + "IH", 8, len(entries)) + packed


@pytest.mark.parametrize("order", ["<", ">"], ids=["little", "big"])
@pytest.mark.parametrize("prefix", [b"", b"Exif\0\0"], ids=["bare", "prefixed"])
def test_exif_is_read_in_both_orders(order: str, prefix: bytes) -> None:
    """EXIF comes in two byte orders, and some writers of WebP keep the prefix of JPEG."""
    assert read_exif_turn(prefix + exif(order, 6)) == Turn(3, mirrored=False)


@pytest.mark.parametrize("length", range(len(exif("<", 6)) - 4))
def test_torn_exif_is_upright(length: int) -> None:
    """A block that ends before the orientation turns nothing."""
    assert read_exif_turn(exif("<", 6)[:length]) == UPRIGHT
