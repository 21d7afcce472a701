"""A zygote whose cells do mischief on order: what an image that took a cell over could do.

An "image" that begins with PLANT: names one of the functions below. The cell is otherwise
the real one: forked, locked in and asked as any other.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from imageward_server.cage import zygote
from imageward_server.cage.cell import Cell
from imageward_server.cage.protocol import Message, Outcome

PLANT = b"PLANT:"
LINK = 3
CLONE = {"x86_64": 56, "aarch64": 220}[platform.machine()]
libc = ctypes.CDLL(None, use_errno=True)
page = mmap.mmap(-1, mmap.PAGESIZE)
page_address = ctypes.addressof(ctypes.c_char.from_buffer(page))
# Loaded here: a cell can load no more.
thread = threading.Thread(target=time.sleep, args=(0,), daemon=True)
TMP_FILE = "/tmp/imageward-escaped"  # noqa: S108 the name is what the test looks for


def spin() -> None:
    """Compute for ever."""
    while True:
        pass


def grow() -> None:
    """Take memory, and write to all of it, until there is none."""
    taken = []
    while True:
        taken.append(b"\1" * 2**24)


def claim() -> None:
    """Ask for memory, and write to none of it, until there is none."""
    claimed = []
    while True:
        claimed.append(bytes(2**26))


def lie(kind: int, length: int) -> Callable[[], None]:
    """Answer, before the cell does, with what no cell says."""
    return lambda: (os.write(LINK, Message(kind, length).pack()), spin())[1]


PLANTS: dict[str, Callable[[], object]] = {
    "open": lambda: os.open("/etc/passwd", os.O_RDONLY),
    "create": lambda: os.open(TMP_FILE, os.O_WRONLY | os.O_CREAT),
    "list": lambda: os.scandir("/"),
    "stat": lambda: Path("/").stat(),
    "socket": socket.socket,
    "connect": lambda: libc.connect(LINK, ctypes.create_string_buffer(16), 16),
    "send_descriptor": lambda: libc.sendmsg(LINK, 0, 0),
    "exec": lambda: os.execv("/bin/true", ["true"]),  # noqa: S606 it is to be blocked
    "fork": os.fork,
    "clone": lambda: libc.syscall(CLONE, signal.SIGCHLD, 0, 0, 0, 0),
    "thread": thread.start,
    "ptrace": lambda: libc.ptrace(16, os.getppid(), 0, 0),
    "read_process": lambda: libc.process_vm_readv(os.getppid(), 0, 0, 0, 0, 0),
    "kill": lambda: os.kill(os.getppid(), signal.SIGTERM),
    "kill_by_thread": lambda: libc.tgkill(os.getppid(), os.getppid(), signal.SIGTERM),
    "execute_new_memory": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC),
    "execute_old_memory": lambda: libc.mprotect(ctypes.c_void_p(page_address), 4096, 5),
    "cut_memory": lambda: libc.ftruncate(LINK, 0),
    "raise_limits": lambda: libc.prlimit(0, 9, 0, ctypes.create_string_buffer(16)),
    "prctl": lambda: libc.prctl(22, 0, 0, 0, 0),
    "io_uring": lambda: libc.syscall(425, 1, page_address),
    "unshare": lambda: libc.unshare(0x10000000),
    "x32": lambda: libc.syscall(0x40000000 + 39),
    "segfault": lambda: ctypes.string_at(0),
    "abort": os.abort,
    "exit": lambda: os._exit(0),
    "spin": spin,
    "wait": lambda: os.read(LINK, 1),
    "grow": grow,
    "claim": claim,
    "fail": lambda: 1 // 0,
    "lie_length": lie(Outcome.DONE, 2**32 - 1),
    "lie_outcome": lie(99, 0),
    "lie_time": lie(Outcome.DONE, 3),
    "lie_refusal": lie(Outcome.IMAGE_TOO_LARGE, 40),
    "print": lambda: [os.write(stream, b"out of the cage\n") for stream in (1, 2)],
    "nothing": lambda: None,
}


class PlantedCell(Cell):
    """A cell that does what an image says, before it looks at it."""

    def _take(self, order: Message) -> bytes:
        image = self._memory[: order.value]
        if image.startswith(PLANT):
            PLANTS[image.removeprefix(PLANT).decode()]()
        return super()._take(order)


if __name__ == "__main__":
    zygote.Cell = PlantedCell  # type: ignore[misc]
    zygote.main(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]))
