"""Blocks: codes under their ids, as store, index and segments hand them to each other.

Owns what a block must be to be taken; it knows neither searches nor files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imageward_index.errors import InvalidBatch, InvalidHash

# A hash of a whole image; of these an id has one.
WHOLE_IMAGE_BITS = 256
ATTACHMENT_BYTES_MAX = 4096


class Block(NamedTuple):
    """Codes under ids.

    Attributes:
        ids: int64, shape (n,), one for each code; those of an id side by side.
        codes: uint8, shape (n, width in bytes).
        attachments: of every id a byte string that is kept with it, at most
            `ATTACHMENT_BYTES_MAX` bytes; those of other ids do not matter. None where
            nothing is kept with ids.
    """

    ids: NDArray[np.int64]
    codes: NDArray[np.uint8]
    attachments: Mapping[int, bytes] | None = None

    def of_ids(self, ids: NDArray[np.int64]) -> Block:
        """Leave out the codes of all other ids."""
        keep = np.isin(self.ids, ids)
        return Block(self.ids[keep], self.codes[keep], self.attachments)


def join_columns(blocks: Sequence[Block]) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Put the ids and the codes of blocks, one at least, each in one array."""
    ids = np.concatenate([block.ids for block in blocks])
    return ids, np.concatenate([block.codes for block in blocks])


def check_block(block: Block, width_bits: int, *, attachments: bool) -> None:
    """Refuse a block that an index of this width, with or without attachments, cannot take.

    Raises:
        InvalidHash: the codes have another width.
        InvalidBatch: ids and codes differ in number; an id is negative, or stands twice
            among hashes; attachments are missing, too long, or not wanted.
    """
    check_width(block.codes, width_bits)
    _check_ids(block.ids, len(block.codes))
    if width_bits == WHOLE_IMAGE_BITS and len(np.unique(block.ids)) != len(block.ids):
        raise InvalidBatch("an id stands twice in one batch of hashes; send each id once")
    if attachments:
        _check_attachments(block)
    elif block.attachments is not None:
        raise InvalidBatch("attachments came to an index that keeps none; send codes alone")


def check_width(codes: NDArray[np.uint8], width_bits: int) -> None:
    """Refuse codes of another width.

    Raises:
        InvalidHash: they are not uint8 of shape (n, width in bytes).
    """
    width_bytes = width_bits // 8
    if codes.dtype != np.uint8 or codes.shape[1:] != (width_bytes,):
        raise InvalidHash(
            f"codes are {codes.dtype} of shape {codes.shape}; "
            f"send uint8 of shape (n, {width_bytes})",
            bytes_expected=width_bytes,
        )


def _check_ids(ids: NDArray[np.int64], codes: int) -> None:
    if len(ids) != codes:
        raise InvalidBatch(f"{len(ids)} ids came with {codes} codes; send one id a code")
    # The upper bits of an id are its bank: a negative one would read as another bank's.
    if len(ids) and ids.min() < 0:
        raise InvalidBatch("an id of the batch is negative; send ids of 0 or more")


def _check_attachments(block: Block) -> None:
    kept = block.attachments if block.attachments is not None else {}
    for entry_id in np.unique(block.ids).tolist():
        attachment = kept.get(entry_id)
        if attachment is None:
            raise InvalidBatch("an id of the batch has no attachment; send one for each id")
        if len(attachment) > ATTACHMENT_BYTES_MAX:
            raise InvalidBatch(
                f"an attachment has {len(attachment)} bytes; send {ATTACHMENT_BYTES_MAX} at most",
                attachment_bytes_max=ATTACHMENT_BYTES_MAX,
            )
