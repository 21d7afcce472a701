"""What a cell says is read back whole, and refused when a bit of it cannot be so."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable

import numpy as np
import pytest

from imageward_index.errors import ImageTooLarge
from imageward_index.geometry import Query
from imageward_index.picture import Picture
from imageward_server.cage.payloads import (
    InvalidPayload,
    read_fingerprint,
    read_hashes,
    read_query,
    read_refusal,
    read_traceback,
    read_view,
    write_hashes,
    write_query,
    write_refusal,
    write_view,
)

SEED = 5
MUTATIONS = 3_000


@pytest.fixture(scope="module")
def picture() -> Picture:
    """A picture with detail."""
    rng = np.random.default_rng(SEED)
    blots = np.kron(rng.integers(0, 255, (15, 20)), np.ones((16, 16)))
    return Picture(np.clip(blots + rng.integers(-9, 9, blots.shape), 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def query(picture: Picture) -> Query:
    """What a cell looks up of it."""
    return picture.coarse


def test_hashes_come_back(picture: Picture) -> None:
    """Codes and quality are those that were written, and read-only as ever."""
    hashes = read_hashes(bytearray(write_hashes(picture.whole)))
    assert (hashes.codes == picture.whole.codes).all()
    assert hashes.quality == picture.whole.quality
    assert not hashes.codes.flags.writeable


def test_a_query_comes_back(query: Query) -> None:
    """All of it; arrays are aligned and of the types that kernels know."""
    read = read_query(bytearray(write_query(query)))
    ours, theirs = query.pyramid, read.pyramid
    assert (theirs.width, theirs.height, read.content) == (ours.width, ours.height, query.content)
    for name in ("pixels", "starts", "shapes"):
        given, got = getattr(ours, name), getattr(theirs, name)
        assert (got.dtype, got.flags.aligned, got.flags.writeable) == (given.dtype, True, True)
        assert (got == given).all()
    assert (read.regions.codes == query.regions.codes).all()
    assert (read.regions.frames == query.regions.frames).all()


def test_a_refusal_comes_back() -> None:
    """Its message and its bounds."""
    error = ImageTooLarge("the image has 9 bytes", bytes=9)
    told = read_refusal(bytearray(write_refusal(error)))
    assert told == (str(error), {"bytes": "9"})


@pytest.mark.parametrize(
    "told",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff" * 40,
        b"[" * 1_999,
        b" " * 2_001,
        json.dumps({"message": "a\nb", "metadata": {}}).encode(),
        json.dumps({"message": 7, "metadata": {}}).encode(),
        json.dumps({"message": "a" * 401, "metadata": {}}).encode(),
        json.dumps({"message": "a", "metadata": {str(n): "" for n in range(9)}}).encode(),
        json.dumps({"message": "a", "metadata": {"b": 7}}).encode(),
        json.dumps({"message": "a", "metadata": 7}).encode(),
    ],
)
def test_what_is_no_refusal_is_refused(told: bytes) -> None:
    """Neither another form, nor control characters, nor endless text reaches a caller."""
    with pytest.raises(InvalidPayload):
        read_refusal(bytearray(told))


def test_a_view_comes_back() -> None:
    """Its sides and its pixels, read-only."""
    grey = np.arange(6, dtype=np.uint8).reshape(2, 3)
    read = read_view(bytearray(write_view(grey)))
    assert read.tolist() == grey.tolist()
    assert not read.flags.writeable


@pytest.mark.parametrize(
    "told",
    [
        b"",
        bytes(7),
        bytes(8),
        struct.pack("=2I", 0, 5),
        struct.pack("=2I", 2, 3) + bytes(5),
        struct.pack("=2I", 2, 3) + bytes(7),
        struct.pack("=2I", 1_025, 1) + bytes(1_025),
        struct.pack("=2I", 1, 1_025) + bytes(1_025),
        struct.pack("=2I", 2**32 - 1, 2**32 - 1) + bytes(1),
    ],
)
def test_what_is_no_view_is_refused(told: bytes) -> None:
    """Neither sides beyond a screen nor pixels that do not fill them are drawn."""
    with pytest.raises(InvalidPayload):
        read_view(bytearray(told))


def test_a_traceback_is_text() -> None:
    """A log line holds no control characters, whatever a cell sent."""
    assert read_traceback(bytearray(b"Trace\nback\x1b[2J\xff" + b"a" * 9_000))[:18] == (
        "Trace\nback?[2J\N{REPLACEMENT CHARACTER}aaa"
    )
    assert len(read_traceback(bytearray(b"a" * 9_000))) == 4_000


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("at", "form", "value"),
    [
        *[(at, "=d", value) for at in range(0, 48, 8) for value in (NAN, INF, -1.0, 2.0)],
        (48, "=I", 0),
        (48, "=I", 17),
        (48, "=I", 2**32 - 1),
        (52, "=I", 249),
        (52, "=I", 2**32 - 1),
        (56, "=q", 0),
        (56, "=q", -1),
        (56, "=q", 2**62),
        (64, "=q", 513),
        (-4, "=f", NAN),
        (-4, "=f", 300.0),
    ],
)
def test_what_is_no_query_is_refused(query: Query, at: int, form: str, value: float) -> None:
    """Each number of the head, a level's size and a shade are bounded."""
    data = bytearray(write_query(query))
    struct.pack_into(form, data, at % len(data), value)
    with pytest.raises(InvalidPayload):
        read_query(data)


@pytest.mark.parametrize("column", range(4))
@pytest.mark.parametrize("value", [NAN, INF, -INF, 1e9, -1e9])
def test_what_is_no_frame_is_refused(query: Query, column: int, value: float) -> None:
    """A code lies in the picture, has a size and an angle."""
    data = bytearray(write_query(query))
    frames = 56 + 16 * len(query.pyramid.shapes)
    struct.pack_into("=d", data, frames + 32 * 3 + 8 * column, value)
    with pytest.raises(InvalidPayload):
        read_query(data)


@pytest.mark.parametrize("reader", [read_hashes, read_query, read_fingerprint, read_refusal])
def test_no_bytes_break_a_reader(query: Query, reader: Callable[[bytearray], object]) -> None:
    """Whatever bits flip and wherever it is cut, a reader returns or says InvalidPayload."""
    rng = random.Random(SEED)
    data = {read_query: write_query(query)}.get(reader, bytes(rng.randbytes(900)))
    head = min(len(data), 5_000)
    for _ in range(MUTATIONS):
        changed = bytearray(data[: rng.choice([len(data), len(data), rng.randrange(len(data))])])
        for _ in range(rng.randrange(4)):
            if changed:
                changed[rng.randrange(min(len(changed), head))] = rng.randrange(256)
        try:
            reader(changed)
        except InvalidPayload:
            continue
