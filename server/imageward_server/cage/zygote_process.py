"""The server's end of the zygote: starts it, has cells forked and reaped."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Final, NamedTuple

from imageward_server.cage.jail import Protection
from imageward_server.cage.link import CellDied, CellLink, make_memory
from imageward_server.cage.protocol import DYING, MESSAGE_BYTES, Message, ZygoteOrder

START_S_MAX: Final = 120.0
"""Where nothing is compiled yet a start takes 20 s; from numba's cache about one."""

CELL_START_S_MAX: Final = 10.0
ORDER_S_MAX: Final = 10.0

# What a zygote needs of the environment. The rest, such as the store's password, stays.
_ENVIRONMENT: Final = (
    "PATH",
    "HOME",
    "LANG",
    "LD_LIBRARY_PATH",
    "NUMBA_CACHE_DIR",
    "PYTHONPATH",
    "PYTHONHOME",
    "TMPDIR",
)
_SET: Final = {
    # Of glibc, and inherited by cells: what an image took is kept for the next, up to 64 MB.
    # Giving it back and asking again costs a fifth of decoding.
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(64 * 2**20),
    # Whatever a zygote imports first, it may have no threads.
    "OPENBLAS_NUM_THREADS": "1",
}
PROGRAM: Final = ("-m", "imageward_server.cage.zygote")


class ZygoteLost(Exception):
    """The zygote does not answer: it ended, or was never there."""


class Remains(NamedTuple):
    """What is known of a cell that ended.

    Attributes:
        status: as `os.wait` has it.
        memory_bytes: that it held at most, shared pages included.
    """

    status: int
    memory_bytes: int


class ZygoteProcess:
    """Runs a zygote. Safe to use from many threads, but must be started by one that lasts.

    The kernel ends the zygote with the thread that started it, and the cells with it.

    Args:
        program: what Python runs; the process's arguments follow.
    """

    def __init__(self, program: Sequence[str] = PROGRAM) -> None:
        self._program = program
        self._lock = threading.Lock()
        self._control, theirs = socket.socketpair()
        inherited = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        self._process = subprocess.Popen(  # noqa: S603 our own program
            [sys.executable, "-P", *program, str(theirs.fileno()), str(os.getpid())],
            env=inherited | _SET,
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            # Not of the terminal's signals, but of the server's session: Linux weighs
            # priorities within a session only, and the slow cells' must count beside ours.
            process_group=0,
        )
        theirs.close()
        try:
            self._receive(START_S_MAX)
        except ZygoteLost:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def fork(self) -> tuple[CellLink, Protection]:
        """Fork a cell, and wait until it is locked in; returns it and what keeps it in.

        Raises:
            ZygoteLost: it does not answer, or the cell does not.
        """
        ours, theirs = socket.socketpair()
        memory = make_memory()
        link = CellLink(self, ours, os.dup(memory))
        try:
            order = Message(ZygoteOrder.FORK).pack()
            with self._lock:
                self._send(order, [theirs.fileno(), memory])
                link.belongs_to(self._receive(ORDER_S_MAX).value)
            hello = link.wait(CELL_START_S_MAX)
        except CellDied as error:
            raise ZygoteLost("a cell ended at its start") from error
        finally:
            theirs.close()
            os.close(memory)
        if hello is None:
            raise ZygoteLost("a cell does not start")
        return link, Protection(hello.kind)

    def reap(self, pid: int) -> Remains | None:
        """Kill a cell if it lives; returns what is left of it, None until it is gone.

        Raises:
            ZygoteLost: it does not answer; its cells are gone then.
        """
        with self._lock:
            self._send(Message(ZygoteOrder.REAP, pid).pack(), [])
            answer = self._receive(ORDER_S_MAX)
        return None if answer.value == DYING else Remains(answer.value, answer.kind * 1024)

    def close(self) -> None:
        """End it, and with it its cells."""
        self._control.close()
        self._process.kill()
        self._process.wait()

    def _send(self, data: bytes, descriptors: list[int]) -> None:
        try:
            socket.send_fds(self._control, [data], descriptors)
        except OSError as error:
            raise ZygoteLost("the zygote takes no orders") from error

    def _receive(self, timeout_s: float) -> Message:
        self._control.settimeout(timeout_s)
        try:
            data = self._control.recv(MESSAGE_BYTES, socket.MSG_WAITALL)
        except OSError as error:
            raise ZygoteLost("the zygote does not answer") from error
        if len(data) < MESSAGE_BYTES:
            raise ZygoteLost("the zygote ended")
        return Message.unpack(data)
