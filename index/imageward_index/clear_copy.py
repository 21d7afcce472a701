"""The one decrypted copy of a file that all processes of a user share: in memory, never on disk.

It is a memfd (memfd_create(2)), named by a random name that the file's header states, and
sealed against changes once it is whole. Every process that maps it keeps it open, so the
next one finds it among the open files of this user's processes (proc(5)), and the kernel
frees it with the last of them, however that ends. Elsewhere than on Linux each process
has a copy of its own.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

Put = Callable[[memoryview, int], object]

_PREFIX: Final = "imageward-"
_SEALS: Final = 0x0001 | 0x0002 | 0x0004 | 0x0008  # of seals, shrinking, growing, writing


def open_copy(name: str, size: int, fill: Callable[[Put], bool]) -> NDArray[np.uint8] | None:
    """Map the copy of a name, made now if no process has it; nobody else may do so meanwhile.

    Args:
        name: what tells the copies apart.
        size: its bytes.
        fill: makes it, by calling what it is given with bytes and where they belong;
            returns whether that is whole.

    Returns:
        uint8, (size,), read-only; None if it could not be filled.
    """
    if not hasattr(os, "memfd_create"):
        return _own_copy(size, fill)
    found = _find(name, size)
    if found is not None:
        return found
    handle = os.memfd_create(_PREFIX + name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(handle, size)
        if not fill(lambda data, at: os.pwrite(handle, data, at)):
            return None
        fcntl.fcntl(handle, fcntl.F_ADD_SEALS, _SEALS)
        return _map(Path(f"/proc/self/fd/{handle}"), size)
    finally:
        os.close(handle)


def _find(name: str, size: int) -> NDArray[np.uint8] | None:
    wanted = f"/memfd:{_PREFIX}{name} (deleted)"
    for link in _open_files():
        # Processes and their files come and go while they are listed.
        with suppress(OSError):
            if str(link.readlink()) == wanted:
                found = _map(link, size)
                if found is not None:
                    return found
    return None


def _open_files() -> Iterator[Path]:
    """List what the processes of this user have open, this one's first."""
    yield from Path("/proc/self/fd").iterdir()
    for process in Path("/proc").iterdir():
        with suppress(OSError):
            if process.name.isdigit() and process.stat().st_uid == os.geteuid():
                yield from list((process / "fd").iterdir())


def _map(link: Path, size: int) -> NDArray[np.uint8] | None:
    """Map a copy for reading, unless it is not whole yet; the mapping keeps it open."""
    with link.open("rb") as file:
        handle = file.fileno()
        is_whole = fcntl.fcntl(handle, fcntl.F_GET_SEALS) & _SEALS == _SEALS
        if not is_whole or os.fstat(handle).st_size != size:
            return None
        return np.frombuffer(mmap.mmap(handle, size, prot=mmap.PROT_READ), np.uint8)


def _own_copy(size: int, fill: Callable[[Put], bool]) -> NDArray[np.uint8] | None:
    memory = np.empty(size, np.uint8)

    def put(data: memoryview, at: int) -> None:
        memory[at : at + len(data)] = np.frombuffer(data, np.uint8)

    whole = fill(put)
    memory.setflags(write=False)
    return memory if whole else None
