"""Cells are there when wanted, are replaced when lost, and end with the server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from imageward_index.decode import cv2
from imageward_index.errors import ImageTooLarge, UnsupportedFormat
from imageward_index.picture import fingerprint_image, open_picture
from imageward_server.cage import pool as pool_module
from imageward_server.cage.cage import Cage
from imageward_server.cage.jail import ALL, Protection
from imageward_server.cage.job import Job
from imageward_server.cage.link import KEPT_BYTES, SLOW_NICENESS
from imageward_server.cage.pool import Pool
from imageward_server.cage.protocol import Order
from imageward_server.cage.retirement import Retirement
from imageward_server.errors import DeadlineExceeded, Loading

REPLACEMENTS = 200
PATIENCE_S = 60.0


@pytest.fixture
def own() -> Iterator[Cage]:
    """Run a cage of one cell that a test may ruin."""
    running = Cage(cells=1, slow=1)
    running.start()
    yield running
    running.close()


def await_(condition: Callable[[], object]) -> None:
    """Return once a condition holds; fail if it does not come to."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.002)


def alive(pid: int) -> bool:
    """Whether a process runs: one that is not waited for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.parametrize("name", ["astronaut.png", "rocket.jpg", "camera.png"])
def test_a_picture_in_a_cage_is_the_picture(
    cage: Cage, photograph: Callable[[str], bytes], name: str
) -> None:
    """Every hash of it, and its fingerprint, are those that are taken in this process."""
    image = photograph(name)
    here = open_picture(image)
    with cage.look(image) as there:
        assert (there.whole.codes == here.whole.codes).all()
        assert (there.trimmed is None) == (here.trimmed is None)
        for query, expected in ((there.coarse, here.coarse), (there.fine, here.fine)):
            assert (query.regions.codes == expected.regions.codes).all()
            assert (query.regions.frames == expected.regions.frames).all()
            assert (query.pyramid.pixels == expected.pyramid.pixels).all()
    assert cage.fingerprint(image) == fingerprint_image(image)


def test_a_refusal_is_the_decoder_s(cage: Cage) -> None:
    """Class, message and metadata are those of the decoder, and the cell lives on."""
    before = cage.retirements
    with pytest.raises(UnsupportedFormat) as there:
        cage.fingerprint(b"no image")
    with pytest.raises(UnsupportedFormat) as here:
        fingerprint_image(b"no image")
    assert str(there.value) == str(here.value)
    assert there.value.metadata == here.value.metadata
    assert cage.retirements == before


def test_too_many_bytes_need_no_cell(cage: Cage) -> None:
    """What does not fit is refused before a cell is asked."""
    with pytest.raises(ImageTooLarge, match="20000001 bytes"):
        cage.fingerprint(bytes(20_000_001))


def test_nothing_stays_in_the_shared_memory(own: Cage, photograph: Callable[[str], bytes]) -> None:
    """Neither an image nor its hashes are left when a job ends."""
    with own.look(photograph("rocket.jpg")) as picture:
        assert picture.whole.quality > 0
        link = picture._job._link
        assert link is not None
    assert not np.frombuffer(link.get(2**20), np.uint8).any()


def test_nothing_of_a_large_file_stays_in_the_shared_memory(own: Cage) -> None:
    """Nor of one whose memory is given back instead of written over."""
    pixels = np.random.default_rng(0).integers(1, 256, (1_300, 1_300, 3), dtype=np.uint8)
    image = cv2.imencode(".bmp", pixels)[1].tobytes()
    assert len(image) > KEPT_BYTES
    job = Job(own.pool, image, time.monotonic() + PATIENCE_S)
    link = job._link
    assert link is not None
    assert link.get(len(image)) == image
    job.end()
    assert not np.frombuffer(link.get(len(image)), np.uint8).any()


def test_a_spare_is_ready(own: Cage, photograph: Callable[[str], bytes]) -> None:
    """While the one cell is at work another waits, so a loss is made good at once."""
    with own.look(photograph("camera.png")):
        await_(lambda: len(own.pool.idle_pids) == 1)


def test_a_lease_waits_no_longer_than_its_deadline(
    own: Cage, photograph: Callable[[str], bytes]
) -> None:
    """The spare is no second place: a job beyond the number of cells waits, then gives up."""
    image = photograph("camera.png")
    with own.look(image), pytest.raises(DeadlineExceeded, match="no decoder was free"):
        own.fingerprint(image, time.monotonic() + 0.1)


def test_a_worn_cell_is_replaced(
    own: Cage, photograph: Callable[[str], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After so many images a cell ends, and the next has another."""
    monkeypatch.setattr(pool_module, "JOBS_MAX", 2)
    image = photograph("camera.png")
    pids = set()
    for _ in range(6):
        with own.look(image) as picture:
            assert picture._job._link is not None
            pids.add(picture._job._link.pid)
    assert own.retirements[Retirement.WORN] >= 2
    assert len(pids) >= 3


def test_a_large_jpeg_is_slow_only_where_all_of_it_is_decoded(own: Cage) -> None:
    """A check reduces it and keeps its priority; a bank takes every pixel, at a low one."""
    image = cv2.imencode(".jpg", np.full((5_000, 8_000), 99, np.uint8))[1].tobytes()
    slow = {}
    for order in (Order.TAKE_REDUCED, Order.TAKE):
        job = Job(own.pool, image, time.monotonic() + PATIENCE_S)
        job.take(order)
        assert job._link is not None
        slow[order] = job._link.slow
        job.end()
    assert slow == {Order.TAKE_REDUCED: False, Order.TAKE: True}


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="only Linux has processes that are idle")
def test_a_slow_cell_makes_way_at_once(own: Cage) -> None:
    """The kernel runs it only where nobody else wants the processor."""
    link = own.pool.lease(time.monotonic() + PATIENCE_S)
    own.pool.slow_down(link)
    assert os.sched_getscheduler(link.pid) == os.SCHED_IDLE
    assert os.getpriority(os.PRIO_PROCESS, link.pid) == SLOW_NICENESS
    own.pool.give_back(link)


def test_nothing_leaks_over_many_replacements(planted: Cage) -> None:
    """After 200 cells that died there are as many descriptors, children and threads as before."""

    def crash(times: int) -> None:
        for _ in range(times):
            with pytest.raises(Exception, match="broke its decoder"):
                planted.fingerprint(b"PLANT:exit")
        await_(lambda: len(planted.pool.idle_pids) == 2)

    def held() -> tuple[int, int, int]:
        zygote = planted.pool.zygote_pid
        children = Path(f"/proc/{zygote}/task/{zygote}/children").read_text().split()
        mine = len(list(Path("/proc/self/fd").iterdir()))
        return mine, len(children), len(list(Path(f"/proc/{zygote}/fd").iterdir()))

    crash(2)
    before, threads = held(), threading.active_count()
    crash(REPLACEMENTS)
    assert (held(), threading.active_count()) == (before, threads)


def test_a_lost_zygote_is_replaced(own: Cage, photograph: Callable[[str], bytes]) -> None:
    """Its cells end with it; callers are told to come again, and then served."""
    zygote, (cell, _) = own.pool.zygote_pid, own.pool.idle_pids
    assert zygote is not None
    os.kill(zygote, signal.SIGKILL)
    await_(lambda: not alive(cell))

    def is_served() -> bool:
        try:
            return own.fingerprint(photograph("camera.png")).whole.quality is not None
        except Loading:
            return False

    await_(is_served)
    assert own.pool.zygote_pid != zygote


def test_cells_end_with_the_server() -> None:
    """A server that is killed leaves no process behind, not even one that computes."""
    script = (
        "from imageward_server.cage.cage import Cage\n"
        "cage = Cage(2, 1)\ncage.start()\n"
        "print(cage.pool.zygote_pid, *cage.pool.idle_pids, flush=True)\n"
        "input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        pids = [int(pid) for pid in server.stdout.readline().split()]
        assert [alive(pid) for pid in pids] == [True] * 4
        server.kill()
    await_(lambda: not any(map(alive, pids)))


def test_a_terminal_s_signals_end_no_cell(own: Cage, photograph: Callable[[str], bytes]) -> None:
    """SIGINT and SIGTERM are for the server, which finishes what runs."""
    for pid in (own.pool.zygote_pid, *own.pool.idle_pids):
        assert pid is not None
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGINT)
    assert own.fingerprint(photograph("camera.png")).whole.quality is not None
    assert set(own.retirements.values()) == {0}


def test_a_cage_that_cannot_start_says_so() -> None:
    """A zygote that ends at its start is an error, not an endless wait."""

    def fail() -> object:
        raise OSError("no such program")

    with pytest.raises(OSError, match="cage cannot be started: no such program"):
        Cage(1, 1, fail).start()  # type: ignore[arg-type]


def test_a_cage_that_is_not_whole_is_loud() -> None:
    """What a system does not offer is named in a warning, once."""
    pool = Pool(1, 1)
    with capture_logs() as logs:
        pool._warn(ALL)
        pool._warn(Protection.MEMORY)
        other = Pool(1, 1)
        other._warn(Protection.MEMORY)
        other._warn(Protection.MEMORY)
    assert [one["log_level"] for one in logs] == ["warning"]
    assert logs[0]["missing"] == ["SYSTEM_CALLS", "FOLLOWS_PARENT"]
