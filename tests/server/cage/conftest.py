"""Cages for the tests: one that is shared, one whose cells do mischief."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from imageward_bench.fuzz.batch import PROGRAM
from imageward_server.cage.cage import Cage
from imageward_server.cage.zygote_process import ZygoteProcess

PLANTED_BATCHES = Path(__file__).with_name("planted_batch_zygote.py")
PLANTED = Path(__file__).with_name("planted_zygote.py")


@pytest.fixture(scope="session")
def time_s_max() -> float:
    """What an image may take: 1.2 s, and more where threads wait long for a processor."""
    return 1.2 if os.getloadavg()[0] < (os.cpu_count() or 1) else 4.0


@pytest.fixture(scope="session")
def cage() -> Iterator[Cage]:
    """Run a cage of two cells."""
    running = Cage(cells=2, slow=1)
    running.start()
    yield running
    running.close()


@pytest.fixture(scope="session")
def planted() -> Iterator[Cage]:
    """Run a cage whose cells do what an image that begins with PLANT: names."""
    running = Cage(cells=1, slow=1, start_zygote=partial(ZygoteProcess, (str(PLANTED),)))
    running.start()
    yield running
    running.close()


@pytest.fixture(scope="session")
def batches() -> Iterator[Cage]:
    """Run a cage whose cells make spoiled files themselves."""
    running = Cage(cells=1, slow=1, start_zygote=partial(ZygoteProcess, PROGRAM))
    running.start()
    yield running
    running.close()


@pytest.fixture(scope="session")
def planted_batches() -> Iterator[Cage]:
    """Run such a cage whose cells do what a file says that begins with a word of theirs."""
    running = Cage(cells=1, slow=1, start_zygote=partial(ZygoteProcess, (str(PLANTED_BATCHES),)))
    running.start()
    yield running
    running.close()
