"""The exceptions of the index, and the root that the server's own grow from.

    ImagewardError
    ├── InvalidInput                what the caller sent cannot be used
    │   ├── InvalidImage
    │   │   ├── UnsupportedFormat   no bytes, or not one of the formats that are read
    │   │   ├── ImageTooLarge       over a bound of bytes, pixels or side
    │   │   └── UndecodableImage    torn, forged or over a bound of structure
    │   ├── LowQuality              too little detail to be banked
    │   ├── InvalidHash             a code of the wrong width, or a quality out of range
    │   ├── InvalidFingerprint      bytes that are no fingerprint of a known version
    │   ├── InvalidRadius           a radius outside 0..63 bits
    │   └── InvalidBatch            empty, too long, or ids that repeat
    ├── BankNotFound                a bank that was asked for by name is not there
    ├── DuplicateId                 an id is in the index already
    └── SegmentUnusable             a sealed file cannot be served from
        ├── SegmentCorrupt          torn, flipped, or no segment at all
        └── SegmentIncompatible     whole, but of another format, hasher or byte order

A message says what happened, the offending size or bound and what to do. It
never holds an image, a hash or a path of the server. Nothing here knows gRPC.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class ImagewardError(Exception):
    """Every error of the domain.

    Attributes:
        metadata: bounds and offending sizes by name, for machines.
    """

    def __init__(self, message: str, **metadata: object) -> None:
        super().__init__(message)
        self.metadata: dict[str, str] = {name: str(value) for name, value in metadata.items()}


class InvalidInput(ImagewardError):
    """What the caller sent cannot be used; the same call would fail again."""


class InvalidImage(InvalidInput):
    """The bytes of an image cannot be used."""


class UnsupportedFormat(InvalidImage):
    """There are no bytes, or they are not of a format that is read."""


class ImageTooLarge(InvalidImage):
    """The image is over a bound of bytes, pixels or pixels a side."""


class UndecodableImage(InvalidImage):
    """The image is torn, forged or structured to cost more than it may."""


class LowQuality(InvalidInput):
    """The picture has too little detail for its hash to be trusted in a bank."""


class InvalidHash(InvalidInput):
    """A code has the wrong width, or a quality is out of range."""


class InvalidFingerprint(InvalidInput):
    """Bytes are not the wire form of a fingerprint, or of a version that is not known."""


class InvalidRadius(InvalidInput):
    """A radius is outside 0..63 bits."""


class InvalidBatch(InvalidInput):
    """A batch is empty, longer than its bound, or repeats an id."""


class BankNotFound(ImagewardError):
    """No bank has the name that was asked for."""


class DuplicateId(ImagewardError):
    """An id that should be added is live in the index already."""


class SegmentUnusable(ImagewardError):
    """A sealed file cannot be served from.

    Attributes:
        path: the file, for the operator's log. It is never part of the message.
        hint: what the operator can do.
    """

    hint = "Remove the file and start again: it is a copy, and is rebuilt from the store."

    def __init__(self, message: str, path: Path | None = None, **metadata: object) -> None:
        super().__init__(message, **metadata)
        self.path = path


class SegmentCorrupt(SegmentUnusable):
    """A file is torn or flipped, or was never a segment."""


class SegmentIncompatible(SegmentUnusable):
    """A whole segment was written in another format, by another hasher or for another machine."""

    hint = (
        "Serve it with the version that wrote it, or remove the file and start again: "
        "it is rebuilt from the store."
    )
