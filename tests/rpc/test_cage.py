"""The cage behind the service: refusals through a socket, and a server that lives on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imageward_bench.hostile import FAMILIES
from imageward_client import Client, ImageTooCostly, InvalidImage, TooManyCostlyImages, Verdict
from imageward_server.app import Server
from imageward_server.cage.cage import Cage
from imageward_server.config import Config

# One of each kind of end: refused by its header, by its structure, by the clock if the
# machine is slow.
BOMBS = ["png 100 MP with alpha", "jpeg 506 scans", "png 40 MP in colour", "gif 25 MP"]


@pytest.fixture(scope="module")
def caged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run a server as it is run: with a cage."""
    folder: Path = tmp_path_factory.mktemp("caged")
    running = Server(
        Config(
            data_dir=folder,
            listen="127.0.0.1:0",
            insecure=True,
            compute_threads=1,
            cage_slow_cells=1,
        )
    )
    running.start(lambda *_progress: None)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def client(caged: Server) -> Iterator[Client]:
    """Connect the shipped client to it."""
    with Client(f"127.0.0.1:{caged.port}", timeout_s=20.0) as connected:
        yield connected


def test_a_server_decodes_in_a_cage(caged: Server) -> None:
    """Nothing has to be set for it."""
    assert isinstance(caged._hasher, Cage)
    assert len(caged._hasher.pool.idle_pids) == 2


def test_a_picture_is_banked_and_found(client: Client, photograph: Callable[[str], bytes]) -> None:
    """Both ways of an image go through cells."""
    client.create_bank("bank")
    added = client.add_entries("bank", images=[photograph("astronaut.png"), b"no image"])
    assert [result.entry_id is not None for result in added.results] == [True, False]
    assert client.check_image(photograph("astronaut.png")).verdict is Verdict.BLOCK
    assert client.check_image(photograph("coffee.png")).verdict is Verdict.ALLOW


def test_what_takes_too_long_is_told(client: Client) -> None:
    """IMAGE_TOO_COSTLY, INVALID_ARGUMENT, with the bound."""
    with pytest.raises(ImageTooCostly) as caught:
        client.check_image(FAMILIES["png 100 MP with alpha"]())
    assert (caught.value.code, caught.value.reason) == ("INVALID_ARGUMENT", "IMAGE_TOO_COSTLY")
    assert caught.value.metadata == {"decode_s_max": "1.0"}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_and_the_next_picture_served(
    client: Client, photograph: Callable[[str], bytes], name: str
) -> None:
    """However a bomb ends, refused or decoded in time, the next caller gets a verdict."""
    with contextlib.suppress(InvalidImage, TooManyCostlyImages):
        client.check_image(FAMILIES[name]())
    assert client.check_image(photograph("coffee.png")).verdict is Verdict.ALLOW


def test_few_may_take_long_at_once(caged: Server) -> None:
    """TOO_MANY_COSTLY_IMAGES, RESOURCE_EXHAUSTED, with the time to come again."""
    assert isinstance(caged._hasher, Cage)
    pool = caged._hasher.pool
    with pool._changed:
        # The cell of a bomb before this may still be on its way out.
        assert pool._changed.wait_for(lambda: pool._slow_free == 1, timeout=20)
        pool._slow_free = 0
    try:
        with (
            Client(f"127.0.0.1:{caged.port}", timeout_s=0.9) as hasty,
            pytest.raises(TooManyCostlyImages) as caught,
        ):
            hasty.check_image(FAMILIES["gif 25 MP"]())
    finally:
        pool._slow_free = 1
    assert caught.value.code == "RESOURCE_EXHAUSTED"
    assert caught.value.retry_after_s == 1.0
