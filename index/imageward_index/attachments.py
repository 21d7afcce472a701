"""The byte strings that a segment keeps with its ids.

Owns the two arrays that hold them: all strings end to end in the order of ids, and
where each begins. It knows neither codes nor what the strings mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from imageward_index.block import Block
from imageward_index.id_column import IdColumn


class SealedAttachments(Mapping[int, bytes]):
    """The attachments of a segment by id, of dead ids too. Nothing is read before it is asked for.

    Args:
        column: the ids.
        firsts: uint64, shape (ids + 1,), where each attachment begins and the last ends.
        data: uint8, the attachments.
    """

    def __init__(
        self, column: IdColumn, firsts: NDArray[np.uint64], data: NDArray[np.uint8]
    ) -> None:
        self._column = column
        self._firsts = firsts
        self._data = data

    def __getitem__(self, entry_id: int) -> bytes:
        place = self._column.place_of(entry_id)
        if place < 0:
            raise KeyError(entry_id)
        return self.at(place)

    def __iter__(self) -> Iterator[int]:
        return iter(self._column.ids_at(np.arange(len(self))).tolist())

    def __len__(self) -> int:
        return len(self._column)

    def at(self, place: int) -> bytes:
        """Return the attachment of the id at a place of the column."""
        first, end = self._firsts[place : place + 2].tolist()
        return self._data[first:end].tobytes()

    def fit(self) -> bool:
        """Tell whether the arrays fit each other and the ids."""
        firsts = self._firsts
        return (
            len(firsts) == len(self) + 1
            and int(firsts[0]) == 0
            and int(firsts[-1]) == len(self._data)
            and bool((firsts[1:] >= firsts[:-1]).all())
        )


def place_attachments(blocks: Sequence[Block], ids: NDArray[np.int64]) -> NDArray[np.uint64] | None:
    """Say where the attachment of each id will begin, and where the last will end.

    Args:
        blocks: no two with codes of one id.
        ids: int64, shape (n,), the ids of the blocks, sorted, each once.

    Returns:
        uint64, shape (n + 1,); None where the blocks keep nothing with their ids.

    Raises:
        ValueError: an id has no attachment, and others have.
    """
    if all(block.attachments is None for block in blocks):
        return None
    firsts = np.zeros(len(ids) + 1, np.uint64)
    for place, attachment in _placed(blocks, ids):
        firsts[place + 1] = len(attachment)
    return np.cumsum(firsts, dtype=np.uint64)


def fill_attachments(
    blocks: Sequence[Block],
    ids: NDArray[np.int64],
    firsts: NDArray[np.uint64],
    data: NDArray[np.uint8],
) -> None:
    """Write the attachments to `data`, uint8, as `place_attachments` has placed them."""
    starts = firsts.tolist()
    for place, attachment in _placed(blocks, ids):
        data[starts[place] : starts[place + 1]] = np.frombuffer(attachment, np.uint8)


def _placed(blocks: Sequence[Block], ids: NDArray[np.int64]) -> Iterator[tuple[int, bytes]]:
    """Yield every attachment with the place of its id."""
    for block in blocks:
        own = np.unique(block.ids)
        for place, entry_id in zip(np.searchsorted(ids, own).tolist(), own.tolist(), strict=True):
            attachment = None if block.attachments is None else block.attachments.get(entry_id)
            if attachment is None:
                raise ValueError(f"One of {len(ids)} ids has no attachment, and cannot be sealed.")
            yield place, attachment
