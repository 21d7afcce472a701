"""Many spoiled files in one order to a cell, which makes them itself by their numbers.

Handing over a file takes longer than most of them take to be refused. The cell writes the
number of each file into the shared memory before it opens it: whatever ends the cell, the
number says by which file.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from imageward_bench.fuzz.numbered import Numbered
from imageward_server.cage.job import IMAGE_S_MAX
from imageward_server.cage.link import CellDied, CellLink
from imageward_server.cage.pool import Pool
from imageward_server.cage.protocol import Message
from imageward_server.cage.retirement import Retirement

PROGRAM = ("-m", "imageward_bench.fuzz.batch_zygote")
RUN_BATCH = 100
"""The order; no order of a cell of the server's."""

NUMBER_BYTES = 8
LOOK_S = 0.05
STUCK_S_MAX = 120.0
"""For one file, by the clock on the wall: a cell that waits for ever uses no processor."""


class Batch(NamedTuple):
    """Which files: all from the number `first` on, and before `end`."""

    first: int
    end: int

    def pack(self, made: Numbered) -> bytes:
        """Write it as a cell reads it, with what the files are made of."""
        return json.dumps(self).encode() + b"\n" + made.pack()

    @classmethod
    def unpack(cls, data: bytes) -> tuple[Batch, Numbered]:
        """Read what `pack` wrote."""
        numbers, _, made = data.partition(b"\n")
        return cls(*json.loads(numbers)), Numbered.unpack(made)


@dataclass
class Done:
    """What came of a batch, up to its end or to the file that ended the cell.

    Attributes:
        executions: files.
        outcomes: how many ended how; of a batch that was cut short, only its end.
        formats: how many were of which format; likewise.
        finds: what should not have been, by number.
        worst_s: the most processor time that a file took.
        worst_number: of that file.
    """

    executions: int = 0
    outcomes: dict[str, int] = field(default_factory=Counter)
    formats: dict[str, int] = field(default_factory=Counter)
    finds: list[tuple[int, str]] = field(default_factory=list)
    worst_s: float = 0.0
    worst_number: int = 0


def run_batch(pool: Pool, made: Numbered, batch: Batch) -> Done:
    """Have a cell of `PROGRAM` run a batch; one that dies or hangs ends it early."""
    link = pool.lease(time.monotonic() + STUCK_S_MAX)
    packed = batch.pack(made)
    link.put(packed)
    try:
        link.begin(RUN_BATCH, len(packed))
        answer = _watched(link)
    except CellDied:
        return _ended(pool, link, batch, Retirement.CRASHED)
    if answer is None:
        return _ended(pool, link, batch, Retirement.OVERRUN)
    told = json.loads(bytes(link.get(answer.value)))
    pool.give_back(link)
    return Done(**told)


def _watched(link: CellLink) -> Message | None:
    """Wait for the answer; None if one file takes longer than an image may."""
    number, computed_s, seen_at = b"", 0.0, 0.0
    while (answer := link.wait(LOOK_S)) is None:
        now = bytes(link.get(NUMBER_BYTES))
        if now != number:
            number, computed_s, seen_at = now, link.computed_s(), time.monotonic()
            continue
        stuck = time.monotonic() - seen_at > STUCK_S_MAX
        if stuck or link.computed_s() - computed_s > IMAGE_S_MAX:
            return None
    return answer


def _ended(pool: Pool, link: CellLink, batch: Batch, why: Retirement) -> Done:
    number = int.from_bytes(link.get(NUMBER_BYTES), "little")
    find = pool.retire(link, why).value
    worst_s = IMAGE_S_MAX if why is Retirement.OVERRUN else 0.0
    return Done(number - batch.first + 1, {find: 1}, {}, [(number, find)], worst_s, number)
