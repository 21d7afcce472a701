"""Which processor a worker's calls keep to.

Of one process's threads one at a time runs Python, and a call passes from thread to thread.
On one processor that is a switch; across processors each time one sleeps and another has to
be woken, which takes longer than the call's own work, and the longer the more calls wait.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

log = structlog.get_logger(__name__)


def processor_of(number: int, workers: int) -> int | None:
    """Say where a worker's calls run; None: wherever the system likes.

    Only where the processors that this process may use are all taken by workers: on a
    machine that is shared, others would keep to the same ones while the rest is idle.

    Args:
        number: of the worker, from 1 on.
        workers: how many there are, on this machine or in this set of processors.
    """
    if sys.platform != "linux":
        return None
    mine = sorted(os.sched_getaffinity(0))
    return mine[(number - 1) % len(mine)] if workers >= len(mine) else None


@contextmanager
def keeping_to(processor: int | None) -> Iterator[None]:
    """Start threads that keep to a processor, and theirs after them; None: that do not.

    The thread that starts them, and what it starts otherwise, stays as free as it was.
    Where a sandbox forbids it nothing is kept, and the log says so.
    """
    if processor is None or sys.platform != "linux":
        yield
        return
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {processor})
    except OSError as error:
        log.warning("calls keep to no processor", reason=str(error), hint="see pin_workers")
        yield
        return
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
