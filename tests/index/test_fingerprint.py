"""Fingerprints: round trip, golden files, hostile bytes, and what they keep to themselves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from imageward_index.decode import decode_grey
from imageward_index.errors import InvalidFingerprint
from imageward_index.fingerprint import FINGERPRINT_BYTES_MAX, VERSION, Fingerprint
from imageward_index.pdq import PdqHash
from imageward_index.picture import take_fingerprint

Photograph = Callable[[str], bytes]

GOLDEN = Path(__file__).parents[1] / "golden" / "v1"
NAMES = ("astronaut.png", "camera.png", "chelsea.png", "coffee.png", "rocket.jpg")
PLAIN = Fingerprint(PdqHash(bytes(range(32)), 80))


@pytest.fixture(scope="module")
def fingerprint(photograph: Photograph) -> Fingerprint:
    """Return the fingerprint of a photograph."""
    return take_fingerprint(decode_grey(photograph("coffee.png")))


@pytest.mark.parametrize("name", NAMES)
def test_the_same_bytes_give_the_same_fingerprint(name: str, photograph: Photograph) -> None:
    """A fingerprint is a function of the image."""
    grey = decode_grey(photograph(name))

    assert take_fingerprint(grey) == take_fingerprint(grey.copy())


@pytest.mark.parametrize("name", NAMES)
def test_a_fingerprint_reads_back_as_it_was(name: str, photograph: Photograph) -> None:
    """What was rounded once is not rounded again: every array comes back equal."""
    one = take_fingerprint(decode_grey(photograph(name)))
    back = Fingerprint.from_bytes(one.to_bytes())

    assert one == back
    assert hash(one) == hash(back)
    assert one.regional is not None
    assert back.regional is not None
    assert one.regional.content == back.regional.content
    assert one.regional.regions.codes.tolist() == back.regional.regions.codes.tolist()
    assert one.regional.regions.frames.tolist() == back.regional.regions.frames.tolist()
    assert one.regional.grid.signs.tolist() == back.regional.grid.signs.tolist()


@pytest.mark.parametrize("quality", [None, 0, 100])
def test_a_plain_hash_is_a_fingerprint(quality: int | None) -> None:
    """An entry from a list of hashes has 35 bytes and no regional part."""
    plain = Fingerprint(PdqHash(bytes(range(32)), quality))
    back = Fingerprint.from_bytes(plain.to_bytes())

    assert (back, back.whole, back.regional) == (plain, plain.whole, None)
    assert len(plain.to_bytes()) == 35


def test_the_wire_form_is_small(fingerprint: Fingerprint) -> None:
    """A full fingerprint has 3,600 bytes, and none has more."""
    assert len(fingerprint.to_bytes()) == FINGERPRINT_BYTES_MAX == 3_600


@pytest.mark.parametrize("name", NAMES)
def test_golden_fingerprints_stay(name: str, photograph: Photograph) -> None:
    """Version 1 of bundled photographs is made for ever, up to what a processor rounds.

    OpenCV blurs and resizes with the instructions that a processor has, and a last digit
    may fall otherwise: a sign near zero then turns, and a point near a threshold comes or
    goes. On one machine every bit stays, which the test before this one asserts.
    """
    golden = Fingerprint.from_bytes((GOLDEN / f"{Path(name).stem}.fingerprint").read_bytes())
    made = take_fingerprint(decode_grey(photograph(name)))
    assert golden.regional is not None
    assert made.regional is not None
    old, new = golden.regional, made.regional
    bits = np.bitwise_count(old.regions.codes[:, None] ^ new.regions.codes[None, :])
    gaps = np.abs(old.regions.frames[:, None, :2] - new.regions.frames[None, :, :2]).max(axis=2)
    signs = np.bitwise_count(old.grid.signs ^ new.grid.signs)

    assert made.whole == golden.whole
    assert new.content == old.content
    assert ((bits <= 2) & (gaps <= 0.002)).any(axis=1).mean() >= 0.97
    assert signs[old.grid.textured].mean() <= 0.1
    assert (new.grid.textured == old.grid.textured).mean() >= 0.98


def test_a_golden_file_reads() -> None:
    """A fingerprint of version 1 on disk is read and written back, byte for byte."""
    data = (GOLDEN / "coffee.fingerprint").read_bytes()
    one = Fingerprint.from_bytes(data)

    assert one.to_bytes() == data
    assert one.regional is not None
    assert len(one.regional.regions) == 248


def test_mutated_bytes_are_read_or_refused(fingerprint: Fingerprint) -> None:
    """Whatever byte is changed, the result is a fingerprint or our own error."""
    data = fingerprint.to_bytes()
    rng = np.random.default_rng(11)
    refused = 0
    for place in range(len(data)):
        mutated = bytearray(data)
        mutated[place] ^= int(rng.integers(1, 256))
        try:
            read = Fingerprint.from_bytes(bytes(mutated))
        except InvalidFingerprint:
            refused += 1
        else:
            assert read.to_bytes() == bytes(mutated)
    assert refused > 0


@pytest.mark.parametrize("length", [0, 1, 34, 36, 47, 48, 100, 3_599, 3_601])
def test_other_lengths_are_refused(length: int, fingerprint: Fingerprint) -> None:
    """Bytes that are cut short or go on are no fingerprint, and the error holds none of them."""
    data = (fingerprint.to_bytes() + b"\0")[:length]
    with pytest.raises(InvalidFingerprint) as caught:
        Fingerprint.from_bytes(data)

    assert data.hex()[:8] not in str(caught.value) or not data


@pytest.mark.parametrize(
    ("place", "value"),
    [(0, VERSION + 1), (1, 4), (34, 101), (47, 249), (36, 255), (44, 0)],
    ids=["version", "flags", "quality", "codes", "box", "sides"],
)
def test_values_out_of_range_are_refused(place: int, value: int, fingerprint: Fingerprint) -> None:
    """Every field has its bounds."""
    data = bytearray(fingerprint.to_bytes())
    data[place] = value

    with pytest.raises(InvalidFingerprint):
        Fingerprint.from_bytes(bytes(data))


def test_repr_keeps_the_hashes_back(fingerprint: Fingerprint) -> None:
    """A fingerprint in a log line would be personal data."""
    assert "array" not in repr(fingerprint)
    assert repr(PLAIN) == "Fingerprint(whole=PdqHash(quality=80), regional=None)"
