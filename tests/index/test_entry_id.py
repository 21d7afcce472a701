"""Ids: bank above, serial below, within what FAISS and the databases can hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageward_index.entry_id import (
    BANK_NUMBER_MAX,
    SERIAL_BITS,
    SERIAL_MAX,
    bank_number_of,
    make_entry_id,
)

BANK_NUMBERS = st.integers(1, BANK_NUMBER_MAX)
SERIALS = st.integers(1, SERIAL_MAX)


@given(BANK_NUMBERS, SERIALS)
def test_both_parts_come_back(bank_number: int, serial: int) -> None:
    """An id holds its bank's number and its serial, and nothing else."""
    entry_id = make_entry_id(bank_number, serial)
    assert (bank_number, serial) == (bank_number_of(entry_id), entry_id & SERIAL_MAX)


@given(BANK_NUMBERS, SERIALS)
def test_an_array_of_ids_is_read_as_one_id_is(bank_number: int, serial: int) -> None:
    """The vectorised reading agrees with the scalar one."""
    ids = np.array([make_entry_id(bank_number, serial)] * 2, dtype=np.int64)
    assert [bank_number] * 2 == bank_number_of(ids).tolist()


def test_the_largest_id_is_the_largest_int64() -> None:
    """Every id is a positive signed 64-bit integer: what FAISS and SQL columns hold."""
    assert BANK_NUMBER_MAX == 65_535
    assert np.iinfo(np.int64).max == make_entry_id(BANK_NUMBER_MAX, SERIAL_MAX)
    assert make_entry_id(1, 1) == (1 << SERIAL_BITS) + 1


@given(st.tuples(BANK_NUMBERS, SERIALS), st.tuples(BANK_NUMBERS, SERIALS))
def test_ids_order_by_bank_then_serial(one: tuple[int, int], other: tuple[int, int]) -> None:
    """The entries of a bank lie side by side, in the order they were banked."""
    assert (one < other) == (make_entry_id(*one) < make_entry_id(*other))


@pytest.mark.parametrize(
    ("bank_number", "serial"),
    [(0, 1), (BANK_NUMBER_MAX + 1, 1), (1, 0), (1, SERIAL_MAX + 1), (-1, 1)],
)
def test_a_part_out_of_range_is_our_mistake(bank_number: int, serial: int) -> None:
    """A number that would spill into the other part never becomes an id."""
    with pytest.raises(AssertionError):
        make_entry_id(bank_number, serial)
