"""What a reviewer looks at is decoded in the cage, whatever the file is."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import closing

import numpy as np
import pytest
from numpy.typing import NDArray

from imageward_bench.hostile import FAMILIES
from imageward_index import picture as pictures
from imageward_index.decode import cv2, decode_grey
from imageward_index.errors import InvalidImage
from imageward_server.cage.cage import Cage
from imageward_server.cage.retirement import Retirement
from imageward_server.errors import TooManyCostlyImages
from imageward_server.hasher import InProcessHasher
from imageward_server.intake.view import draw_for

SIDE_MAX = 1_024
JPEG = b"\xff\xd8"


@pytest.fixture(scope="module")
def cage() -> Iterator[Cage]:
    """Run a cage as the intake has it."""
    running = Cage(cells=2, slow=1)
    running.start()
    yield running
    running.close()


def decoded(jpeg: bytes) -> NDArray[np.uint8]:
    """Read what was drawn here."""
    return np.asarray(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_UNCHANGED), np.uint8)


@pytest.mark.parametrize("name", ["coffee.png", "rocket.jpg", "retina.jpg"])
def test_the_cage_shows_the_picture(
    cage: Cage, photograph: Callable[[str], bytes], name: str
) -> None:
    """The same pixels as without a cage, and the picture's own but for shrinking."""
    image = photograph(name)
    shown = cage.view(image)
    assert (shown == InProcessHasher().view(image)).all()
    whole = decode_grey(image)
    assert max(shown.shape) == min(SIDE_MAX, max(whole.shape))
    small = cv2.resize(whole, shown.shape[::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(shown.astype(int) - small).mean() < 2


def test_a_thin_picture_keeps_a_side(cage: Cage) -> None:
    """A line of 4,000 pixels is shown as one of 1,024."""
    line = cv2.imencode(".png", np.full((1, 4_000), 90, np.uint8))[1].tobytes()
    assert cage.view(line).shape == (1, SIDE_MAX)


def test_the_name_is_over_what_the_cage_decoded(
    cage: Cage, photograph: Callable[[str], bytes]
) -> None:
    """No quarter of a picture is without it, and each reviewer's is another."""
    image = photograph("coffee.png")
    bare = cage.view(image).astype(int)
    drawn = {who: decoded(draw_for(who, cage, image)) for who in ("ana", "ben")}
    height, width = (side // 2 for side in bare.shape)
    for picture in drawn.values():
        marks = np.abs(picture - bare) > 40
        assert picture.shape == bare.shape
        for quarter in (
            marks[:height, :width],
            marks[:height, width:],
            marks[height:, :width],
            marks[height:, width:],
        ):
            assert quarter.sum() > 50
    assert (drawn["ana"] != drawn["ben"]).any()


def test_nothing_is_decoded_here(
    cage: Cage, photograph: Callable[[str], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A view is drawn where this process's own decoder cannot work."""

    def refuse(*_: object) -> None:
        raise AssertionError("bytes of a stranger were decoded outside the cage")

    image = photograph("rocket.jpg")
    monkeypatch.setattr(pictures, "decode_reduced", refuse)
    monkeypatch.setattr(cv2, "imdecode", refuse)
    assert draw_for("ana", cage, image).startswith(JPEG)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_hostile_picture_is_refused_or_shown(cage: Cage, name: str) -> None:
    """By an exception of the contract, or within the bounds of a screen."""
    try:
        shown = decoded(draw_for("ana", cage, FAMILIES[name]()))
    except (InvalidImage, TooManyCostlyImages):
        return  # a refusal is as good
    assert max(shown.shape) <= SIDE_MAX


def test_a_cell_that_dies_takes_nobody_along(photograph: Callable[[str], bytes]) -> None:
    """The picture that it had is refused; this process draws the next one in another cell."""
    image = photograph("rocket.jpg")
    with closing(Cage(cells=1, slow=1)) as fragile:
        fragile.start()
        cells = fragile.pool.idle_pids
        for cell in cells:
            os.kill(cell, signal.SIGKILL)
        shown = [is_shown(fragile, image) for _ in range(len(cells) + 1)]
        assert not shown[0]
        assert shown[-1]
        assert fragile.retirements[Retirement.CRASHED] > 0


def is_shown(cage: Cage, image: bytes) -> bool:
    """Say whether a picture is drawn rather than refused."""
    try:
        return draw_for("ana", cage, image).startswith(JPEG)
    except InvalidImage:
        return False
