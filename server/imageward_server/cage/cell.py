"""The inside of a cell: takes orders about one image at a time until the server is gone."""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Callable
from typing import Final

import numpy as np

from imageward_index.cost import expected_s
from imageward_index.errors import (
    ImageTooLarge,
    InvalidImage,
    UndecodableImage,
    UnsupportedFormat,
)
from imageward_index.picture import (
    CHECK_SIDE_MIN,
    Picture,
    fingerprint_image,
    open_picture,
    shrink_image,
)
from imageward_server.cage.payloads import write_hashes, write_query, write_refusal, write_view
from imageward_server.cage.protocol import (
    MEMORY_BYTES,
    Message,
    Order,
    Outcome,
    receive,
    send,
)
from imageward_server.tracebacks import describe_error

_OUTCOMES: Final = {
    UnsupportedFormat: Outcome.UNSUPPORTED_FORMAT,
    ImageTooLarge: Outcome.IMAGE_TOO_LARGE,
    UndecodableImage: Outcome.UNDECODABLE_IMAGE,
}

_TAKES: Final = (Order.TAKE, Order.TAKE_REDUCED)


class Cell:
    """Holds an image and what was made of it.

    Args:
        memory: shared with the server.
    """

    def __init__(self, memory: mmap.mmap) -> None:
        self._memory = memory
        self._image = b""
        self._picture: Picture | None = None
        self._orders: dict[int, Callable[[], bytes]] = {
            Order.OPEN: self._open,
            Order.WHOLE: lambda: write_hashes(self._opened.whole),
            Order.TRIMMED: self._trimmed,
            Order.COARSE: lambda: write_query(self._opened.coarse),
            Order.FINE: lambda: write_query(self._opened.fine),
            Order.FINGERPRINT: lambda: fingerprint_image(self._image).to_bytes(),
            Order.VIEW: lambda: write_view(shrink_image(self._image)),
        }

    def serve(self, link: int) -> None:
        """Answer orders from a descriptor until its other side is closed."""
        while (order := receive(link)) is not None:
            outcome, result = self.carry_out(order)
            self._memory[: len(result)] = result
            send(link, Message(outcome, len(result)))

    def carry_out(self, order: Message) -> tuple[Outcome, bytes]:
        """Carry out one order on the image in the shared memory; returns what became of it."""
        try:
            if order.kind in _TAKES:
                return Outcome.DONE, self._take(order)
            return Outcome.DONE, self._orders[order.kind]()
        except InvalidImage as error:
            return _OUTCOMES[type(error)], write_refusal(error)
        except MemoryError:
            return Outcome.IMAGE_TOO_LARGE, write_refusal(
                ImageTooLarge("the image takes more memory than there is; send a smaller copy")
            )
        except Exception as error:  # noqa: BLE001 the server logs it, and answers for it
            return Outcome.FAILED, describe_error(error).encode("ascii", "replace")

    def _take(self, order: Message) -> bytes:
        # What was made of the last image goes before the next takes its place.
        self._picture = None
        self._image = self._memory[: order.value]
        return struct.pack("=d", expected_s(self._image, reduced_to(order.kind)))

    def _open(self) -> bytes:
        self._picture = open_picture(self._image)
        return b""

    @property
    def _opened(self) -> Picture:
        assert self._picture is not None, "a picture is opened before it is looked at"
        return self._picture

    def _trimmed(self) -> bytes:
        trimmed = self._opened.trimmed
        return b"" if trimmed is None else write_hashes(trimmed)


def reduced_to(take: int) -> int | None:
    """Say what the longer side of a picture keeps at least, by the order that took it."""
    # A view keeps fewer pixels than a check, so what is expected of a check is enough for it.
    return CHECK_SIDE_MIN if take == Order.TAKE_REDUCED else None


def warm_up() -> None:
    """Carry out every order once, so that all is compiled and loaded that ever will be."""
    image = _drawn_image()
    with mmap.mmap(-1, MEMORY_BYTES) as memory:
        cell = Cell(memory)
        memory[: len(image)] = image
        for order in Order:
            outcome, _ = cell.carry_out(Message(order, len(image)))
            assert outcome is Outcome.DONE, "the picture that is drawn here can be read"


def _drawn_image() -> bytes:
    """Draw a BMP of soft blots, 240 x 320, that all hashes find something in."""
    rows, columns = np.mgrid[0:240, 0:320]
    noise = np.random.default_rng(0).integers(0, 200, (12, 16))
    waves = 25 * np.sin(rows / 3) + 25 * np.sin(columns / 4)
    shades = np.clip(noise[rows // 20, columns // 20] + waves, 0, 255).astype(np.uint8)
    pixels = np.repeat(shades[..., np.newaxis], 3, axis=2).tobytes()
    return b"BM" + struct.pack("<I4xIIiiHH24x", 54 + len(pixels), 54, 40, 320, 240, 1, 24) + pixels


def null_streams() -> None:
    """Point the standard streams at nothing: decoders print, and nobody may read it."""
    null = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(null, stream)
    if null > 2:  # noqa: PLR2004 standard error
        os.close(null)
