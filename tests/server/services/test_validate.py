"""The bounds of the contract, each at its limit and one beyond."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageward.v1.hash_pb2 import PdqHash as PdqHashMessage
from imageward_index.errors import InvalidBatch, InvalidHash
from imageward_index.pdq import PdqHash
from imageward_server.errors import EntryNotFound, InvalidRequest, UnknownSurface
from imageward_server.services import validate

SURFACES = frozenset({"FACEBOOK", "INSTAGRAM"})


@pytest.mark.parametrize("name", ["a", "_", "Known-2.x_y", "A" * 64, "_" + "9" * 63])
def test_a_bank_name_within_the_contract_is_taken(name: str) -> None:
    """A letter or underscore, then letters, digits, '_', '-' or '.', 1 to 64 in all."""
    assert validate.bank_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "A" * 65, "9a", "-a", ".a", "a b", "a/b", "a\n", "\na", "ä", "aä", "a\0", "a\u0661", " a"],
)
def test_a_bank_name_beyond_the_contract_is_refused(name: str) -> None:
    """Nothing else is a name: not even a newline at the end, or another script's digit."""
    with pytest.raises(InvalidRequest):
        validate.bank_name(name)


@pytest.mark.parametrize("value", ["", "x" * 128, "ü" * 128, "🗂 case 7"])
def test_a_text_within_its_bounds_is_taken(value: str) -> None:
    """A text is counted in characters, not in bytes."""
    assert validate.text("reference", value, chars_max=128) == value


@pytest.mark.parametrize(
    "value", ["x" * 129, "a\nb", "a\0", "\x7f", "\x1b[31m", "a\u202eb", "\u2028"]
)
def test_a_text_beyond_its_bounds_is_refused(value: str) -> None:
    """Too many characters, or one that would not print, are refused without being repeated."""
    with pytest.raises(InvalidRequest) as refusal:
        validate.text("reference", value, chars_max=128)
    assert refusal.value.metadata["field"] == "reference"
    assert value not in str(refusal.value)


def test_a_text_may_have_to_be_there() -> None:
    """Where one character is the least, none is refused."""
    with pytest.raises(InvalidRequest, match=r"request_id has 0 characters; send 1\.\.64"):
        validate.text("request_id", "", chars_min=1, chars_max=64)
    assert validate.text("request_id", "x", chars_min=1, chars_max=64) == "x"


@pytest.mark.parametrize("names", [[], ["FACEBOOK"], ["INSTAGRAM", "FACEBOOK", "FACEBOOK"]])
def test_known_surfaces_are_taken(names: list[str]) -> None:
    """Any of the configured surfaces, repeated or none."""
    assert validate.surfaces(names, SURFACES) == frozenset(names)


@pytest.mark.parametrize("names", [["facebook"], [""], ["FACEBOOK", "X" * 1_000_000]])
def test_unknown_surfaces_are_refused(names: list[str]) -> None:
    """A surface that is not configured is named, cut to its bound, beside those that are."""
    with pytest.raises(UnknownSurface) as refusal:
        validate.surfaces(names, SURFACES)
    assert refusal.value.metadata == {"surfaces": "FACEBOOK,INSTAGRAM"}
    assert len(str(refusal.value)) < 200


def test_a_check_names_at_most_64_banks() -> None:
    """64 names are taken in their order, 65 are refused."""
    names = [f"bank-{number}" for number in range(65)]
    assert validate.bank_names(names[:64]) == tuple(names[:64])
    assert validate.bank_names([]) == ()
    with pytest.raises(InvalidRequest) as refusal:
        validate.bank_names(names)
    assert refusal.value.metadata == {"banks": "65", "banks_max": "64"}


@pytest.mark.parametrize("count", [1, 2, 1023, 1024])
def test_a_batch_within_its_bounds_is_taken(count: int) -> None:
    """1 to 1,024 items are a batch, of hashes or of ids."""
    validate.batch("hashes", count)
    assert len(validate.entry_ids(["0000800000000001"] * count)) == count


@pytest.mark.parametrize("count", [0, 1025, 100_000])
def test_a_batch_beyond_its_bounds_is_refused(count: int) -> None:
    """None, or more than 1,024, are refused with the count and the bound."""
    with pytest.raises(InvalidBatch) as refusal:
        validate.batch("hashes", count)
    assert refusal.value.metadata == {"count": str(count), "count_max": "1024"}
    with pytest.raises(InvalidBatch):
        validate.entry_ids(["not even an id"] * count)


@pytest.mark.parametrize(("size", "expected"), [(0, 100), (1, 1), (999, 999), (1000, 1000)])
def test_a_page_size_within_its_bounds_is_taken(size: int, expected: int) -> None:
    """1 to 1,000 are taken, 0 is the default of 100."""
    assert validate.page_size(size) == expected


@pytest.mark.parametrize("size", [-(2**31), -1, 1001, 2**31 - 1])
def test_a_page_size_beyond_its_bounds_is_refused(size: int) -> None:
    """Negative sizes and those over 1,000 are refused with the bound."""
    with pytest.raises(InvalidRequest) as refusal:
        validate.page_size(size)
    assert refusal.value.metadata == {"page_size_max": "1000"}


@pytest.mark.parametrize("quality", [None, 0, 49, 50, 100])
def test_a_hash_within_its_bounds_is_taken(quality: int | None) -> None:
    """32 bytes with a quality of 0 to 100, or without any: absent is not 0."""
    message = PdqHashMessage(pdq=bytes(range(32)), quality=quality)
    assert validate.pdq_hash(message) == PdqHash(bytes(range(32)), quality)
    assert validate.quality(message) == quality


@pytest.mark.parametrize("quality", [-(2**31), -1, 101, 2**31 - 1])
def test_a_quality_beyond_its_bounds_is_refused(quality: int) -> None:
    """No quality outside 0 to 100 is taken."""
    with pytest.raises(InvalidHash):
        validate.pdq_hash(PdqHashMessage(pdq=bytes(32), quality=quality))


@pytest.mark.parametrize("width", [0, 31, 33, 64])
def test_a_hash_of_another_width_is_refused(width: int) -> None:
    """One hash that is not 32 bytes refuses its batch, and is told by its place."""
    with pytest.raises(InvalidHash):
        validate.pdq_hash(PdqHashMessage(pdq=bytes(width)))
    batch = [PdqHashMessage(pdq=bytes(32)), PdqHashMessage(pdq=bytes(width))]
    with pytest.raises(InvalidHash) as refusal:
        validate.codes(batch)
    expected = {"position": "1", "bytes": str(width), "bytes_expected": "32"}
    assert refusal.value.metadata == expected


def test_widths_that_even_out_are_refused() -> None:
    """31 and 33 bytes are not two hashes, though they are 64 bytes."""
    with pytest.raises(InvalidHash):
        validate.codes([PdqHashMessage(pdq=bytes(31)), PdqHashMessage(pdq=bytes(33))])


@given(st.lists(st.binary(min_size=32, max_size=32), max_size=5))
def test_codes_keep_their_bytes_and_order(parts: list[bytes]) -> None:
    """A batch becomes an array of its bytes, a row a hash."""
    codes = validate.codes([PdqHashMessage(pdq=part) for part in parts])
    assert (codes.dtype, codes.shape) == (np.uint8, (len(parts), 32))
    assert [row.tobytes() for row in codes] == parts


@given(st.integers(0, 2**63 - 1))
def test_an_entry_id_comes_back(entry_id: int) -> None:
    """Every id is written as 16 hexadecimal digits that read back to it."""
    written = validate.format_entry_id(entry_id)
    assert len(written) == 16
    assert validate.entry_id(written) == entry_id


KNOWN_ID = "0000800000000001"
NOT_IDS = {
    "short": "0" * 15,
    "long": "0" * 17,
    "empty": "",
    "negative as int64": "8" + "0" * 15,
    "over int64": "f" * 16,
    "capital": "000080000000000A",
    "prefixed": "0x00800000000001",
    "newline": KNOWN_ID + "\n",
    "space": " 000080000000001",
    "sign": "-000800000000001",
    "underscore": "00008000000000_1",
    "other digits": "\u0660" * 16,
}


@pytest.mark.parametrize("written", NOT_IDS.values(), ids=NOT_IDS.keys())
def test_what_is_not_written_as_ids_are_is_no_entry(written: str) -> None:
    """An id that no server wrote is of no entry, alone or in a batch."""
    with pytest.raises(EntryNotFound):
        validate.entry_id(written)
    with pytest.raises(EntryNotFound):
        validate.entry_ids([KNOWN_ID, written])


@given(st.text())
def test_any_text_is_an_id_or_refused(written: str) -> None:
    """Nothing that is sent as an id gets another error than that there is none."""
    with contextlib.suppress(EntryNotFound):
        assert validate.format_entry_id(validate.entry_id(written)) == written
