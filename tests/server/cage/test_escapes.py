"""What a cell that was taken over tries, and where it ends."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from imageward_index.errors import ImageTooLarge, UndecodableImage, UnsupportedFormat
from imageward_server.cage.cage import Cage
from imageward_server.cage.retirement import Retirement
from imageward_server.errors import DeadlineExceeded, ImageTooCostly, TooManyCostlyImages

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="seccomp is Linux's")

KILLED = [
    "socket",
    "connect",
    "send_descriptor",
    "exec",
    "fork",
    "clone",
    "thread",
    "ptrace",
    "read_process",
    "kill",
    "kill_by_thread",
    "execute_new_memory",
    "execute_old_memory",
    "cut_memory",
    "raise_limits",
    "prctl",
    "io_uring",
    "unshare",
    "x32",
]
REFUSED = ["open", "create", "list", "stat"]


def attempt(cage: Cage, name: str, allowed_s: float = 5.0) -> None:
    """Have a cell do what a plant says."""
    with cage.look(b"PLANT:" + name.encode(), time.monotonic() + allowed_s):
        pass


def counted(cage: Cage, why: Retirement) -> int:
    """How many cells ended for a reason so far."""
    return cage.retirements[why]


@pytest.mark.parametrize("name", KILLED)
def test_what_no_cell_needs_ends_it(planted: Cage, name: str) -> None:
    """The kernel kills the cell at the call; the caller hears that the image is no good."""
    before = counted(planted, Retirement.ESCAPING)
    with pytest.raises(UndecodableImage, match="broke its decoder"):
        attempt(planted, name)
    assert counted(planted, Retirement.ESCAPING) == before + 1


@pytest.mark.parametrize("name", REFUSED)
def test_files_are_out_of_reach(planted: Cage, name: str) -> None:
    """A path is answered with an error, which ends nothing, and opens and makes no file."""
    with capture_logs() as logs, pytest.raises(RuntimeError):
        attempt(planted, name)
    assert "PermissionError" in logs[0]["traceback"]
    assert not Path("/tmp/imageward-escaped").exists()  # noqa: S108


def test_a_cell_has_four_descriptors_and_no_terminal(planted: Cage) -> None:
    """The standard streams are nothing, and the link to the server is all there is."""
    (pid, *_) = planted.pool.idle_pids
    opened = sorted(Path(f"/proc/{pid}/fd").iterdir(), key=lambda path: int(path.name))
    targets = [str(path.readlink()) for path in opened]
    assert targets[:-1] == ["/dev/null"] * 3
    assert targets[-1].startswith("socket:")


def test_a_cell_is_marked_as_locked_in(planted: Cage) -> None:
    """The kernel says so: filtered, without new privileges, one thread."""
    (pid, *_) = planted.pool.idle_pids
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    told = {name: status[name] for name in ("Seccomp", "NoNewPrivs", "Threads")}
    assert told == {"Seccomp": "2", "NoNewPrivs": "1", "Threads": "1"}


@pytest.mark.parametrize("name", ["segfault", "abort", "exit"])
def test_a_crash_is_told_and_mended(planted: Cage, name: str) -> None:
    """The caller hears of it, and the next image finds a cell."""
    before = counted(planted, Retirement.CRASHED)
    with pytest.raises(UndecodableImage, match="broke its decoder"):
        attempt(planted, name)
    assert counted(planted, Retirement.CRASHED) == before + 1


@pytest.mark.parametrize("name", ["lie_length", "lie_outcome", "lie_time", "lie_refusal"])
def test_a_lie_is_not_believed(planted: Cage, name: str) -> None:
    """An answer that no cell gives ends the cell."""
    before = counted(planted, Retirement.LYING)
    with pytest.raises(UndecodableImage, match="broke its decoder"):
        attempt(planted, name)
    assert counted(planted, Retirement.LYING) == before + 1


def test_an_overrun_ends_in_time(planted: Cage, time_s_max: float) -> None:
    """A cell that computes for ever is killed, and its caller told, within 1.2 s of the call."""
    begun = time.monotonic()
    # On a busy machine it may have had too little of a processor to be blamed.
    with pytest.raises((ImageTooCostly, TooManyCostlyImages), match=r"1\.0 s"):
        attempt(planted, "spin")
    assert time.monotonic() - begun < time_s_max


def test_a_starved_cell_is_not_blamed(planted: Cage) -> None:
    """An image whose cell hardly ran is not called costly: the caller may send it again."""
    before = counted(planted, Retirement.REFUSED)
    with pytest.raises(TooManyCostlyImages, match=r"within 1\.0 s"):
        attempt(planted, "wait")
    assert counted(planted, Retirement.REFUSED) == before + 1


def test_a_deadline_ends_it_earlier(planted: Cage) -> None:
    """Nobody waits longer than he said."""
    before = counted(planted, Retirement.ABANDONED)
    begun = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        attempt(planted, "spin", 0.2)
    assert time.monotonic() - begun < 0.9
    assert counted(planted, Retirement.ABANDONED) == before + 1


def test_memory_is_limited(planted: Cage) -> None:
    """A cell that asks for all it can get is refused it, and the image told as too large."""
    with pytest.raises(ImageTooLarge, match="more memory"):
        attempt(planted, "claim")


def test_memory_stays_small(planted: Cage) -> None:
    """A cell that fills all it can get holds less than 512 MB, and shared pages count."""
    # On a busy machine it may be out of time before it is out of memory.
    with pytest.raises((ImageTooLarge, ImageTooCostly, TooManyCostlyImages)):
        attempt(planted, "grow")
    assert planted.pool.memory_bytes_max < 512_000_000


def test_a_mistake_of_ours_is_logged(planted: Cage) -> None:
    """An exception in a cell is no answer for the caller, and its traceback is in the log."""
    with capture_logs() as logs, pytest.raises(RuntimeError, match="in the log"):
        attempt(planted, "fail")
    assert "ZeroDivisionError" in logs[0]["traceback"]


def test_a_cell_cannot_print(planted: Cage, capfd: pytest.CaptureFixture[str]) -> None:
    """What a decoder writes to the standard streams is read by nobody."""
    with pytest.raises(UnsupportedFormat):
        attempt(planted, "print")
    assert capfd.readouterr() == ("", "")


def test_slow_places_are_few(planted: Cage, time_s_max: float) -> None:
    """While one image takes long, another that does is refused with a hint to come again."""
    ends: list[type[Exception]] = []
    begun = time.monotonic()

    def spin() -> None:
        try:
            attempt(planted, "spin")
        except (ImageTooCostly, TooManyCostlyImages) as error:
            ends.append(type(error))

    threads = [threading.Thread(target=spin) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ends[0] is TooManyCostlyImages
    assert len(ends) == 2
    assert time.monotonic() - begun < time_s_max + 0.3
