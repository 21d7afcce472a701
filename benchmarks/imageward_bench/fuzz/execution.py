"""One file through a cell: what came of it, how long it took, and whether that is a find."""

from __future__ import annotations

import time
from typing import NamedTuple

from imageward_index.errors import ImagewardError, InvalidImage
from imageward_server.cage.job import IMAGE_S_MAX, Job
from imageward_server.cage.payloads import read_fingerprint, read_hashes
from imageward_server.cage.pool import Pool
from imageward_server.cage.protocol import Order
from imageward_server.cage.retirement import Retirement

WAIT_S_MAX = 60.0
DECODED = "decoded"
# How a cell must never end, whatever it was given.
_FINDS = frozenset({Retirement.CRASHED, Retirement.ESCAPING, Retirement.LYING})


class Result(NamedTuple):
    """What came of a file.

    Attributes:
        outcome: `decoded`, or the name of the exception.
        find: what should not have been; empty if all is well.
        computed_s: that the cell ran on a processor.
        taken_s: by the clock on the wall.
    """

    outcome: str
    find: str
    computed_s: float
    taken_s: float


def execute(pool: Pool, image: bytes, *, banked: bool) -> Result:
    """Have a cell decode and hash a file, for a check or for a bank."""
    begun = time.monotonic()
    job = Job(pool, image, begun + WAIT_S_MAX)
    outcome, find, computed_s = DECODED, "", 0.0
    try:
        job.take(Order.TAKE if banked else Order.TAKE_REDUCED)
        if banked:
            job.ask(Order.FINGERPRINT, read_fingerprint)
        else:
            job.ask(Order.OPEN, lambda _: None)
            job.ask(Order.WHOLE, read_hashes)
    except (InvalidImage, ImagewardError) as error:
        outcome = type(error).__name__
    except RuntimeError as error:
        outcome = find = type(error).__name__
    finally:
        computed_s = job.computed_s
        job.end()
    if job.ended in _FINDS:
        find = job.ended.value
    if job.ended is Retirement.OVERRUN:
        find, computed_s = job.ended.value, IMAGE_S_MAX
    return Result(outcome, find, computed_s, time.monotonic() - begun)
