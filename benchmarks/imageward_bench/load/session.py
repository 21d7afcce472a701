"""A server and the requests for it, ready to be measured; put away afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from imageward_bench.echo_server import echo_server
from imageward_bench.filled_bank import TIMEOUT_S, Filling
from imageward_bench.load.mix import Mix
from imageward_bench.load.requests import Workload, make_workload
from imageward_bench.photographs import other_half
from imageward_bench.served import Served, elsewhere, lent, started
from imageward_client import Client

NO_CODES = np.empty((0, 32), np.uint8)


@dataclass(frozen=True, slots=True)
class Choice:
    """Which server is measured.

    Attributes:
        target: one that runs already; empty: one is started.
        bank_size: entries in the bank of one that is started.
        workers: its workers; None: its own default.
        flags: further flags of it.
        regional: whether these entries are whole fingerprints; else hashes alone.
        photos: folder of photographs: of half of them regional codes are made up, of the
            others pictures are cut that are sent.
    """

    target: str = ""
    bank_size: int = 0
    workers: int | None = None
    flags: Sequence[str] = ()
    regional: bool = False
    photos: Path | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """What is measured, and what is sent to it."""

    served: Served
    workload: Workload

    @property
    def items(self) -> tuple[int, ...]:
        """Hashes or images a call, by part of the mix."""
        return tuple(pool.items for pool in self.workload.pools)


@contextmanager
def session(choice: Choice, mix: Mix, seed: int, console: Console) -> Iterator[Session]:
    """Prepare a server and a workload; what the workload needs banked is banked."""
    with _server(choice, mix, seed, console) as served:
        others = other_half(choice.photos) if choice.photos else ()
        workload = make_workload(mix, served.codes, seed, others)
        if not workload.banked_images:
            yield Session(served, workload)
            return
        with (
            Client(served.target, timeout_s=TIMEOUT_S) as client,
            lent(client, images=workload.banked_images),
        ):
            yield Session(served, workload)


@contextmanager
def _server(choice: Choice, mix: Mix, seed: int, console: Console) -> Iterator[Served]:
    if choice.target:
        with elsewhere(choice.target, seed) as served:
            yield served
    elif all(part.kind == "echo" for part in mix.call):
        with echo_server(choice.workers or 1) as (target, pid):
            yield Served(target, pid, "", NO_CODES)
    else:
        flags = [*choice.flags]
        if choice.workers is not None:
            flags += ["--workers", str(choice.workers)]
        filling = Filling(choice.bank_size, seed, choice.regional, choice.photos)
        with started(filling, flags, console) as served:
            yield served
