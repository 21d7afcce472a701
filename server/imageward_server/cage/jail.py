"""What a cell gives up before it sees an image: files, processes, memory, system calls.

It is called once, in a process with one thread, when all that will be needed is loaded.
"""

from __future__ import annotations

import ctypes
import enum
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Final

from imageward_server.cage import seccomp

HEADROOM_BYTES: Final = 352 * 2**20
"""Address space beyond what a cell has at its start. With that, about 100 MB, and the
shared memory it stays under 512 MB."""

FILES_MAX: Final = 8
CPU_S_MAX: Final = 600
"""A last net, for a cell that its server can no longer end."""

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38


class Protection(enum.IntFlag):
    """What keeps a cell in. A system may lack some."""

    SYSTEM_CALLS = 1
    MEMORY = 2
    FOLLOWS_PARENT = 4


ALL: Final = Protection.SYSTEM_CALLS | Protection.MEMORY | Protection.FOLLOWS_PARENT


def die_with_parent(parent: int) -> bool:
    """End this process when the thread that started it ends; whether the system can.

    Args:
        parent: the process that started this one. If it is gone already, so is this.
    """
    following = _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)
    return following


def lock_in(parent: int) -> Protection:
    """Give up whatever decoding does not need; returns what holds from now on.

    Args:
        parent: the process that started this one.
    """
    held = Protection(0)
    if die_with_parent(parent):
        held |= Protection.FOLLOWS_PARENT
    if _limit_memory():
        held |= Protection.MEMORY
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_NOFILE, FILES_MAX)
    _limit(resource.RLIMIT_CPU, CPU_S_MAX)
    _limit(resource.RLIMIT_NPROC, 0)
    _prctl(_PR_SET_DUMPABLE, 0)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    if seccomp.install(os.getpid()):
        held |= Protection.SYSTEM_CALLS
    return held


def _limit(what: int, most: int) -> None:
    _, hard = resource.getrlimit(what)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (most, most))


def _limit_memory() -> bool:
    # Elsewhere the limit is accepted and not kept.
    if sys.platform != "linux":
        return False
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    _limit(resource.RLIMIT_AS, pages * resource.getpagesize() + HEADROOM_BYTES)
    return True


def _prctl(option: int, value: int) -> bool:
    if sys.platform != "linux":
        return False
    return bool(ctypes.CDLL(None).prctl(option, value, 0, 0, 0) == 0)
