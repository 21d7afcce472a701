"""How an entry's 64-bit id is made: its bank's number above, its serial below.

A search returns ids and nothing else. With the bank inside the id, a match is
filtered by its bank's policy without a table beside the index, and the entries
of a bank lie side by side in the store. An entry never changes its bank.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import overload

import numpy as np
from numpy.typing import NDArray

SERIAL_BITS = 47
SERIAL_MAX = (1 << SERIAL_BITS) - 1
BANK_NUMBER_MAX = (1 << (63 - SERIAL_BITS)) - 1


def make_entry_id(bank_number: int, serial: int) -> int:
    """Join a bank's number, 1..65535, and a serial that is unique over all banks."""
    assert 1 <= bank_number <= BANK_NUMBER_MAX, bank_number
    assert 1 <= serial <= SERIAL_MAX, serial
    return bank_number << SERIAL_BITS | serial


@overload
def bank_number_of(entry_id: int) -> int: ...
@overload
def bank_number_of(entry_id: NDArray[np.int64]) -> NDArray[np.int64]: ...
def bank_number_of(entry_id: int | NDArray[np.int64]) -> int | NDArray[np.int64]:
    """Read the bank's number from an id, or from an array of them."""
    return entry_id >> SERIAL_BITS


def runs_of(sorted_ids: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Split ids into runs without a gap: the first id and the length of each."""
    for _, numbered in groupby(enumerate(sorted_ids), key=lambda pair: pair[1] - pair[0]):
        run = [entry_id for _, entry_id in numbered]
        yield run[0], len(run)
