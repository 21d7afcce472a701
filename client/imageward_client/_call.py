"""What a call is, for both clients, and the bounds that are met before sending.

Nothing here knows a particular call, or a channel.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from imageward_client._limits import BATCH_BYTES_MAX, IMAGE_BYTES_MAX
from imageward_client._rebuild import refused
from imageward_client._rpc import Response, Rpc
from imageward_client.errors import UnreadableAnswer

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.message import Message

Answer = TypeVar("Answer")
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Call(Generic[Response, Answer]):
    """A call that is ready to be sent.

    Attributes:
        rpc: the method.
        request: its message.
        read: makes the answer of the method's response.
    """

    rpc: Rpc[Response]
    request: Message = field(repr=False)  # it may hold hashes or images
    read: Callable[[Response], Answer]


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """A page of a listing; the token of the next is empty on the last."""

    items: tuple[Item, ...]
    next_page_token: str


def bounded(image: bytes) -> bytes:
    """Returns the image.

    Raises:
        ImageTooLarge: it has more bytes than the server reads.
    """
    if len(image) > IMAGE_BYTES_MAX:
        raise refused(
            "IMAGE_TOO_LARGE",
            f"The image has {len(image):,} bytes; at most {IMAGE_BYTES_MAX:,} are read."
            " Send a smaller rendition.",
            {"image_bytes": str(len(image)), "image_bytes_max": str(IMAGE_BYTES_MAX)},
        )
    return image


def expect_batch_bytes(batch_bytes: int) -> None:
    """Refuses a batch before its bytes are sent.

    Raises:
        InvalidBatch: it has more bytes than the server reads at once.
    """
    if batch_bytes > BATCH_BYTES_MAX:
        raise refused(
            "INVALID_BATCH",
            f"The batch has {batch_bytes:,} bytes; at most {BATCH_BYTES_MAX:,} are read at once."
            " Send it in parts.",
            {"batch_bytes": str(batch_bytes), "batch_bytes_max": str(BATCH_BYTES_MAX)},
        )


def expect_count(asked: int, answered: int) -> None:
    """Refuses an answer that cannot be lined up with its question.

    Raises:
        UnreadableAnswer: the counts differ.
    """
    if asked != answered:
        raise UnreadableAnswer(f"{asked} were sent and {answered} answered.")
