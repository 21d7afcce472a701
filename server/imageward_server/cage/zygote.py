"""The zygote: loads and compiles all that a cell needs, and forks cells on order.

Run as `python -P -m imageward_server.cage.zygote CONTROL PARENT` with the descriptor of
its control socket and the server's process. It never sees an image. It has one thread,
which is what makes forking it safe.
"""

from __future__ import annotations

import gc
import mmap
import os
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Final, NoReturn

from imageward_server.cage.cell import Cell, null_streams, warm_up
from imageward_server.cage.jail import die_with_parent, lock_in
from imageward_server.cage.protocol import (
    DYING,
    MEMORY_BYTES,
    MESSAGE_BYTES,
    Message,
    ZygoteOrder,
    send,
)

DESCRIPTORS: Final = 2
"""That come with an order to fork: the cell's end of its link, and its memory."""

_FIRST_FREE: Final = 3
_DESCRIPTORS_MAX: Final = 256
# Signals for the whole service end the server, which then ends its cells.
_IGNORED: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(control: socket.socket, parent: int) -> None:
    """Load everything, say so, and carry out orders until the server is gone."""
    die_with_parent(parent)
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    warm_up()
    # What is shared stays so if the collector does not write into it.
    gc.collect()
    gc.freeze()
    assert _threads() == 1, "a process with threads must not be forked"
    control.sendall(Message(ZygoteOrder.FORK, os.getpid()).pack())
    while True:
        data, descriptors, _, _ = socket.recv_fds(control, MESSAGE_BYTES, DESCRIPTORS)
        if not data:
            return
        _carry_out(control, Message.unpack(data), descriptors)


def _threads() -> int:
    """How many threads there are, those of libraries included where the system tells."""
    tasks = Path("/proc/self/task")
    return len(list(tasks.iterdir())) if tasks.exists() else threading.active_count()


def _carry_out(control: socket.socket, order: Message, descriptors: list[int]) -> None:
    if order.kind == ZygoteOrder.FORK:
        answer = Message(order.kind, _fork(control, *descriptors))
        for descriptor in descriptors:
            os.close(descriptor)
    else:
        answer = _reap(order.value)
    control.sendall(answer.pack())


def _reap(cell: int) -> Message:
    """Kill a cell if it lives; returns the KiB that it held at most, and its wait status."""
    # It is a child that was not waited for, so the number is still its own.
    os.kill(cell, signal.SIGKILL)
    # What a large process of low priority holds takes a while to be freed.
    pid, status, usage = os.wait4(cell, os.WNOHANG)
    if not pid:
        return Message(0, DYING)
    kib = usage.ru_maxrss if sys.platform == "linux" else usage.ru_maxrss // 1024
    return Message(kib, status)


def _fork(control: socket.socket, link: int, memory: int) -> int:
    zygote = os.getpid()
    pid = os.fork()
    if not pid:
        control.close()
        _be_cell(link, memory, zygote)
    return pid


def _be_cell(link: int, memory: int, zygote: int) -> NoReturn:
    """Become a cell, and end without what the zygote would do at its end."""
    status = 1
    try:
        shared = mmap.mmap(memory, MEMORY_BYTES)
        null_streams()
        # The first picture copies the zygote's pages, and takes twice as long.
        warm_up()
        os.dup2(link, _FIRST_FREE)
        os.closerange(_FIRST_FREE + 1, _DESCRIPTORS_MAX)
        held = lock_in(zygote)
        send(_FIRST_FREE, Message(held))
        Cell(shared).serve(_FIRST_FREE)
        status = 0
    finally:
        os._exit(status)


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]))
