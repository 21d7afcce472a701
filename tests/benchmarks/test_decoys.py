"""Decoys: real codes at a distance, the same for the same number, and no trap for the true."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from imageward_bench.decoys import Decoys
from imageward_bench.edits import decode, jpeg
from imageward_bench.memory_bank import MemoryBank
from imageward_index.cascade import look_up
from imageward_index.fingerprint import Fingerprint
from imageward_index.picture import fingerprint_image, open_picture


@pytest.fixture(scope="module")
def fingerprint(photograph: Callable[[str], bytes]) -> Fingerprint:
    """Return the fingerprint of a photograph."""
    return fingerprint_image(photograph("coffee.png"))


def test_a_decoy_is_made_of_real_codes(fingerprint: Fingerprint) -> None:
    """Its codes lie 13 bits in the mean from real ones; a number makes it, a seed moves it."""
    one, again = (Decoys([fingerprint], 1).fingerprint(7) for _ in range(2))
    other = Decoys([fingerprint], 2).fingerprint(7)
    nearest = np.bitwise_count(one.codes[:, None] ^ fingerprint.codes[None, :]).min(axis=1)

    assert one == again
    assert one != other
    assert 10 < nearest.mean() < 14


def test_decoys_do_not_hide_the_true(
    fingerprint: Fingerprint, photograph: Callable[[str], bytes]
) -> None:
    """A crop is found among decoys that are made of its own picture's codes."""
    crop = decode(photograph("coffee.png"))[100:300, 150:450]
    bank = MemoryBank([fingerprint], Decoys([fingerprint], 1), 200)
    answer = look_up(open_picture(jpeg(np.ascontiguousarray(crop))), bank)

    assert [one.entry_id for one in answer.findings if one.certain] == [0]
