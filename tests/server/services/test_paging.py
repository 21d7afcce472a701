"""Page tokens: of one listing, and never trusted."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageward_server.errors import InvalidPageToken
from imageward_server.services.paging import make_token, read_token

LISTING = ("ListEntries", "known", 1)
KEYS = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=64)


@given(KEYS)
def test_a_token_leads_on_where_it_was_made(last: str) -> None:
    """The key of the last item comes back, in the same listing."""
    assert read_token(LISTING, make_token(LISTING, last)) == last


def test_the_longest_key_fits() -> None:
    """A bank's name of 64 characters makes a token that is read."""
    last = "_" + "z" * 63
    assert read_token(("ListBanks",), make_token(("ListBanks",), last)) == last


def test_no_token_is_the_first_page() -> None:
    """Without a token a listing begins at its start."""
    assert read_token(LISTING, "") is None


@pytest.mark.parametrize(
    "other",
    [
        ("ListBanks",),
        ("ListEntries", "known", 2),
        ("ListEntries", "other", 1),
        ("ListEntries", "", 1),
        ("ListEntries", "known"),
        ("ListEntries", "known, 1"),
    ],
)
def test_a_token_of_another_listing_is_refused(other: tuple[object, ...]) -> None:
    """A token is of one method with one filter; elsewhere it would skip what nobody saw."""
    with pytest.raises(InvalidPageToken):
        read_token(other, make_token(LISTING, "0000800000000001"))


@given(st.text(min_size=1))
def test_any_text_is_refused(token: str) -> None:
    """What was not made here is no token, whatever it is."""
    with pytest.raises(InvalidPageToken):
        read_token(LISTING, token)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=2),
)


@given(st.binary(min_size=1) | JSON_VALUES.map(lambda value: json.dumps(value).encode()))
def test_well_wrapped_garbage_is_refused(contents: bytes) -> None:
    """Right base64 around other bytes or other JSON is no token either."""
    with pytest.raises(InvalidPageToken):
        read_token(LISTING, base64.urlsafe_b64encode(contents).decode())


@given(JSON_VALUES)
def test_a_forged_key_is_refused_or_plain(last: object) -> None:
    """A token with the right digest leads on from plain text, the only keys there are."""
    (digest, _) = json.loads(base64.urlsafe_b64decode(make_token(LISTING, "")))
    forged = base64.urlsafe_b64encode(json.dumps([digest, last]).encode()).decode()
    try:
        assert read_token(LISTING, forged) == last
        assert isinstance(last, str)
        assert last.isascii()
    except InvalidPageToken:
        pass


@pytest.mark.parametrize("last", ["\ud800", "a\0b", "ä", "a\n", "x" * 300])
def test_a_key_that_no_store_takes_is_refused(last: str) -> None:
    """Half a surrogate pair, a NUL or endless text never gets to a database."""
    with pytest.raises(InvalidPageToken):
        read_token(LISTING, make_token(LISTING, last))


@pytest.mark.parametrize("token", ["A" * 257, "[" * 256, "W1tb" * 64, "A" * 1_000_000])
def test_a_long_token_costs_nothing(token: str) -> None:
    """Long and deep tokens are refused like all others."""
    with pytest.raises(InvalidPageToken):
        read_token(LISTING, token)
