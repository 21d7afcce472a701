"""Every family of hostile files through a real cage, while another caller goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Self

import pytest

from imageward_bench.hostile import FAMILIES
from imageward_index.cost import expected_s
from imageward_index.errors import InvalidImage
from imageward_server.cage.cage import Cage
from imageward_server.cage.retirement import Retirement
from imageward_server.errors import TooManyCostlyImages

FORMATS = {"jpeg", "png", "webp", "gif", "isobmff", "tiff", "bmp"}


class Neighbour:
    """Another caller, with an ordinary picture again and again."""

    def __init__(self, cage: Cage, image: bytes) -> None:
        self._cage, self._image = cage, image
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._go_on)
        self.served = 0
        self.errors: list[Exception] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _go_on(self) -> None:
        while not self._stopping.wait(0.02):
            try:
                with self._cage.look(self._image) as picture:
                    self.served += picture.whole.quality > 0
            except Exception as error:  # noqa: BLE001 the test says whether there was any
                self.errors.append(error)


@pytest.fixture(scope="module")
def neighbour(cage: Cage, photograph: Callable[[str], bytes]) -> Iterator[Neighbour]:
    """Have another caller go on while the hostile files come."""
    with Neighbour(cage, photograph("rocket.jpg")) as going:
        yield going


def test_there_are_families_of_every_format() -> None:
    """At least 40, over all the formats that are read."""
    assert len(FAMILIES) >= 40
    assert {name.partition(" ")[0] for name in FAMILIES} == FORMATS


@pytest.mark.parametrize("name", FAMILIES)
def test_it_is_refused_or_decoded_in_time(
    cage: Cage, neighbour: Neighbour, time_s_max: float, name: str
) -> None:
    """Within 1.2 s each, by an exception of the contract or with hashes."""
    image = FAMILIES[name]()
    begun = time.monotonic()
    try:
        with cage.look(image) as picture:
            assert 0 <= picture.whole.quality <= 100
            assert len(picture.fine.regions) <= 248
    except (InvalidImage, TooManyCostlyImages):
        pass  # a refusal is as good
    assert time.monotonic() - begun < time_s_max
    assert neighbour.errors == []


def test_nobody_was_hurt(cage: Cage, neighbour: Neighbour) -> None:
    """No cell crashed, tried what it must not, or held 512 MB; the other caller was served."""
    ends = cage.retirements
    assert {why: ends[why] for why in (Retirement.CRASHED, Retirement.ESCAPING)} == {
        Retirement.CRASHED: 0,
        Retirement.ESCAPING: 0,
    }
    assert ends[Retirement.SLOW] + ends[Retirement.OVERRUN] > 0
    assert cage.pool.memory_bytes_max < 512_000_000
    assert neighbour.served > 10


@pytest.mark.parametrize("name", FAMILIES)
def test_a_guess_never_fails(name: str) -> None:
    """Whatever a header says, the guess is a time."""
    assert expected_s(FAMILIES[name]()) >= 0
