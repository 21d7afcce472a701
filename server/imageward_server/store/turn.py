"""Whose turn it is to write to an embedded store: a queue of one before SQLite's own lock.

SQLite lets waiting writers ask again and again, and gives its lock to whoever asks in
the right moment. A writer that begins again at once is always there first, and one that
waits can starve. So a writer holds the place behind the one that writes before it asks;
the writer that was faster has to come to that place like everybody else.

The place is a lock of a file beside the store's, of the kind that the kernel gives back
when a process dies. SQLite's own file cannot carry it: closing it would drop SQLite's locks.
"""

from __future__ import annotations

import fcntl
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_SUFFIX: Final = "-turn"
_MODE: Final = 0o600
# How often a waiting writer asks, at least and at most; the spread keeps writers from
# asking in step.
_ASKED_EVERY_S: Final = (0.001, 0.004)


@contextmanager
def next_to_write(database: Path, end_s: float) -> Iterator[None]:
    """Hold the place behind the writer that is inside.

    Args:
        database: the store's file.
        end_s: when to stop waiting, on the monotonic clock.

    Raises:
        TimeoutError: others held it until then.
        OSError: the file beside the store's cannot be opened; a TimeoutError is one, too.
    """
    file = os.open(place_of(database), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
    try:
        if not ask_until(lambda: _locked(file), end_s):
            raise TimeoutError("other writers stood in line all the time")
        yield
    finally:
        os.close(file)  # which gives the lock back


def place_of(database: Path) -> Path:
    """Name the file whose lock is the place; it holds nothing."""
    return database.with_name(database.name + _SUFFIX)


def ask_until(granted: Callable[[], bool], end_s: float) -> bool:
    """Ask until the answer is yes, once at least; return the last answer.

    Args:
        granted: asks without waiting.
        end_s: when to ask no more, on the monotonic clock.
    """
    while not (answer := granted()) and time.monotonic() < end_s:
        time.sleep(random.uniform(*_ASKED_EVERY_S))  # noqa: S311 - no secret hangs on it
    return answer


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
