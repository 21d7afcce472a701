"""What all tests share: data, photographs, and a real server on loopback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import skimage.data

# OpenCV reads its limits when it is loaded, so the decoder is loaded before any
# test imports it.
import imageward_index.decode  # noqa: F401 - loaded for its effect
from imageward_client import Client
from imageward_server.app import Server
from imageward_server.config import Config
from imageward_server.hasher import InProcessHasher

SHARED = Path(__file__).parents[2] / "shared" / "data"
TIMEOUT_S = 20.0


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of evaluation data beside the checkout; skip without it."""
    if not SHARED.is_dir():
        pytest.skip("the evaluation data is not beside the checkout")
    return SHARED


@pytest.fixture(scope="session")
def photograph() -> Callable[[str], bytes]:
    """Return a reader of the photographs that scikit-image bundles."""
    folder = Path(skimage.data.__file__).parent
    return lambda name: (folder / name).read_bytes()


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Return a configuration with a fresh store and a free port."""
    return Config(data_dir=tmp_path / "data", listen="127.0.0.1:0", insecure=True, grace_s=5.0)


@pytest.fixture
def server(config: Config) -> Iterator[Server]:
    """Run a server in this process, on a real port."""
    running = Server(config, InProcessHasher())
    running.start(lambda *_progress: None)
    yield running
    running.stop()


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    """Connect the shipped client to the server."""
    with Client(f"127.0.0.1:{server.port}", timeout_s=TIMEOUT_S) as connected:
        yield connected
