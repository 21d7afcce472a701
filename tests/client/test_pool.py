"""A client's channels: how many, and that they take the calls in turn."""

from __future__ import annotations

import pytest

import imageward_client as iw
from imageward_client._pool import Turns


def test_things_are_handed_out_in_turn() -> None:
    """Each once, then again from the first."""
    turns = Turns("abc")
    assert "".join(turns.next() for _ in range(7)) == "abcabca"


@pytest.mark.parametrize("channels", [0, 65])
@pytest.mark.parametrize("kind", [iw.Client, iw.AsyncClient])
def test_a_number_of_channels_out_of_range_is_refused(
    kind: type[iw.Client | iw.AsyncClient], channels: int
) -> None:
    """The message names the bounds and the number."""
    with pytest.raises(ValueError, match=rf"1\.\.64; {channels} was given"):
        kind("127.0.0.1:1", channels=channels)
