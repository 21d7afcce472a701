"""The threads that calls run in."""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

# Calls compute. The threads that read, refuse and answer are gRPC's own, and must not wait
# for a slice of the processor behind those: else the server is slowest in saying no when
# it has most to say it.
NICENESS = 10


def pool(name: str, threads_max: int) -> ThreadPoolExecutor:
    """Make threads that give way to gRPC's own, where the system can tell threads apart."""
    return ThreadPoolExecutor(threads_max, thread_name_prefix=name, initializer=_give_way)


def _give_way() -> None:
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
