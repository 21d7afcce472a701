"""How far a start is, on stderr: for the person who waits, or for whoever reads the log."""

from __future__ import annotations

import sys
import time

import structlog

log = structlog.get_logger(__name__)

# A line at most this often.
REPORT_EVERY_S = 1.0


class LoadProgress:
    """Tells how far the start is, at most once a second and at the end of each part.

    Args:
        who: what each line begins with.
        logged: as lines of the log, which says by itself whose they are.
    """

    def __init__(self, who: str, *, logged: bool) -> None:
        self._who = who
        self._logged = logged
        self._next_s = 0.0

    def __call__(self, doing: str, done: int, in_all: int) -> None:
        """Report what is being done, how much of it is, and of how much."""
        now_s = time.monotonic()
        if in_all and (now_s >= self._next_s or done == in_all):
            self._next_s = now_s + REPORT_EVERY_S
            if self._logged:
                log.info("loading", doing=doing, done=done, in_all=in_all)
            else:
                print(f"{self._who}: {doing}: {done:,} of {in_all:,}", file=sys.stderr, flush=True)  # noqa: T201 - progress is for the person who waits
