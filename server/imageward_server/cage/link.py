"""The server's end of one cell: orders over a socket, images and results in shared memory."""

from __future__ import annotations

import contextlib
import mmap
import os
import select
import socket
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from imageward_server.cage.protocol import MEMORY_BYTES, MESSAGE_BYTES, Message

if TYPE_CHECKING:
    from imageward_server.cage.zygote_process import ZygoteProcess

SLOW_NICENESS: Final = 19
"""A sixtieth of a processor where others want it too."""

KEPT_BYTES: Final = 4 * 2**20
"""Of the memory shared with a cell, between jobs. Few images and no results are larger."""

_NS_PER_S: Final = 1_000_000_000
# Never written to, so all its pages are one.
_ZEROS: Final = memoryview(bytes(KEPT_BYTES))


class CellDied(Exception):
    """The cell ended instead of answering; how is for whoever reaps it to say."""


class CellLink:
    """A cell as the server has it. One thread at a time may use it.

    Attributes:
        zygote: that forked it, and alone can reap it.
        pid: the cell's process; of nobody else until the cell is reaped.
        jobs: images that it was given.
        slow: whether its priority was lowered, which cannot be taken back.
        busy: whether an order waits for its answer.

    Args:
        zygote: as above.
        socket_: this side of the pair.
        memory: the descriptor of `MEMORY_BYTES` that are shared; closed by this.
    """

    def __init__(self, zygote: ZygoteProcess, socket_: socket.socket, memory: int) -> None:
        self.zygote = zygote
        self.pid = 0
        self._clock: int | None = None
        self.jobs = 0
        self.slow = False
        self.busy = False
        self._socket = socket_
        self._poll = select.poll()
        self._poll.register(socket_, select.POLLIN)
        self._memory = mmap.mmap(memory, MEMORY_BYTES)
        os.close(memory)
        self._used = 0

    def belongs_to(self, pid: int) -> None:
        """Learn the cell's process."""
        self.pid = pid
        path = Path(f"/proc/{pid}/schedstat")
        self._clock = os.open(path, os.O_RDONLY) if path.exists() else None

    def put(self, image: bytes) -> None:
        """Lay an image into the shared memory."""
        self.jobs += 1
        self._memory[: len(image)] = image
        self._used = len(image)

    def get(self, length: int) -> bytearray:
        """Copy a result from the shared memory: a cell may go on writing there."""
        self._used = max(self._used, length)
        return bytearray(memoryview(self._memory)[:length])

    def wipe(self) -> None:
        """Leave nothing of an image or its hashes in the shared memory."""
        if self._used > KEPT_BYTES and hasattr(mmap, "MADV_REMOVE"):
            # Pages that were given back are zeros. They cost ten times as much to write to
            # again, so it is not done after each image; but to write so many zeros holds up
            # every thread of the server.
            self._memory.madvise(mmap.MADV_REMOVE, 0, MEMORY_BYTES)
        else:
            self._memory[: self._used] = _ZEROS[: self._used]
        self._used = 0

    def begin(self, order: int, value: int = 0) -> None:
        """Send an order.

        Raises:
            CellDied: nobody takes it.
        """
        self.busy = True
        try:
            self._socket.sendall(Message(order, value).pack())
        except OSError as error:
            raise CellDied from error

    def wait(self, timeout_s: float) -> Message | None:
        """Wait for an answer; None if there is none within the time.

        Raises:
            CellDied: there will be none.
        """
        if not self._poll.poll(max(timeout_s, 0.0) * 1000):
            return None
        try:
            data = self._socket.recv(MESSAGE_BYTES, socket.MSG_WAITALL)
        except OSError as error:
            raise CellDied from error
        if len(data) < MESSAGE_BYTES:
            raise CellDied
        self.busy = False
        return Message.unpack(data)

    def computed_s(self) -> float:
        """How long the cell has run on a processor; the time of day where nobody says."""
        if self._clock is None:
            return time.monotonic()
        return int(os.pread(self._clock, 64, 0).split()[0]) / _NS_PER_S

    def slow_down(self) -> None:
        """Let the cell have what others leave, for the rest of its life."""
        self.slow = True
        os.setpriority(os.PRIO_PROCESS, self.pid, SLOW_NICENESS)
        if hasattr(os, "SCHED_IDLE"):
            # However nice a process is, Linux lets it end its slice of some milliseconds
            # before another gets its processor, and each order to a quick cell would wait for
            # that. One that is idle makes way at once. Where it is forbidden it stays nice.
            with contextlib.suppress(PermissionError):
                os.sched_setscheduler(self.pid, os.SCHED_IDLE, os.sched_param(0))

    def close(self) -> None:
        """Close this side; a cell that waits for orders then ends."""
        self._socket.close()
        self._memory.close()
        if self._clock is not None:
            os.close(self._clock)


def make_memory() -> int:
    """Make memory to share with a cell; returns its descriptor.

    Its size is sealed: a cell that cut it short would end the server at its next read.
    """
    if not hasattr(os, "memfd_create"):
        with tempfile.TemporaryFile() as file:
            file.truncate(MEMORY_BYTES)
            return os.dup(file.fileno())
    import fcntl  # noqa: PLC0415 the seals are Linux's, as is the memory

    descriptor = os.memfd_create("imageward-cell", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, MEMORY_BYTES)
    fcntl.fcntl(
        descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
    )
    return descriptor
