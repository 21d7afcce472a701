"""The command `imageward-bench freshness`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Annotated, TypeVar

import numpy as np
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from imageward_bench.filled_bank import TIMEOUT_S
from imageward_bench.freshness.report import Change, Turn, make_record, rows_of, write_freshness
from imageward_bench.freshness.watch import Watch
from imageward_bench.load import options as opt
from imageward_bench.load.command import reported_failures
from imageward_bench.load.driver import Step
from imageward_bench.load.mix import Mix, Part
from imageward_bench.load.processes import Generators, Setup
from imageward_bench.load.session import Choice, Session, session
from imageward_bench.machine import describe
from imageward_bench.report.page import shown
from imageward_client import Client

# Load goes on in stretches of this length until the last change is seen.
STRETCH_S = 2.0
LOAD_DEADLINE_S = 2.0
_SALT = 11

Answer = TypeVar("Answer")

Rate = Annotated[float, typer.Option(help="Hash checks a second meanwhile.", min=0)]
Changes = Annotated[int, typer.Option(help="How often a hash is added and withdrawn.", min=1)]


def freshness(
    target: opt.Target = "",
    bank_size: opt.BankSize = "1e6",
    workers: opt.Workers = None,
    server_flag: opt.ServerFlags = None,
    rate: Rate = 300.0,
    changes: Changes = 200,
    connections: opt.Connections = 16,
    seed: opt.Seed = 1,
    out: opt.Out = opt.OUT_DEFAULT,
    smoke: opt.Smoke = False,
) -> None:
    """Time from a change to the first answer that knows of it, through every worker."""
    if smoke:
        bank_size, changes, rate = str(opt.SMOKE_BANK), 5, 50.0
    choice = Choice(target, opt.count_of(bank_size), workers, server_flag or ())
    settings = {
        "bank_size": None if target else choice.bank_size,
        "workers": workers,
        "server_flags": list(choice.flags),
        "rate_per_s": rate,
        "changes": changes,
        "connections": connections,
        "seed": seed,
    }
    console, machine = Console(), describe()
    mix = Mix(call=(Part(kind="hash"),))
    with (
        reported_failures(console),
        session(choice, mix, seed, console) as ready,
        _load(ready, rate, seed) as loads,
        Watch(ready.served.target, connections) as watch,
        Client(ready.served.target, timeout_s=TIMEOUT_S) as client,
        ThreadPoolExecutor(1) as changing,
    ):
        rng = np.random.default_rng([seed, _SALT])
        turns = track(range(changes), "adding and withdrawing", console=console)
        done = [
            Turn(*_turn(client, ready.served.bank, watch, changing, rng.bytes(32))) for _ in turns
        ]
    record = make_record(settings, done, sum(loads), machine)
    write_freshness(record, done, out)
    table = Table("", "p50, ms", "p99, ms", "max, ms", title="Freshness")
    for row in rows_of(done):
        table.add_row(*map(shown, row))
    console.print(table)
    console.print(f"{sum(loads):,} checks were answered meanwhile; report in {out}/freshness.md")


@contextmanager
def _load(ready: Session, rate_per_s: float, seed: int) -> Iterator[list[int]]:
    """Send checks in a thread for as long as this lasts; yield the counts answered OK."""
    stopping, answered = threading.Event(), list[int]()
    if not rate_per_s:
        yield answered
        return
    step = Step(STRETCH_S, LOAD_DEADLINE_S, rate_per_s=rate_per_s, seed=seed)
    with (
        Generators(Setup(ready.served.target, ready.workload)) as generators,
        ThreadPoolExecutor(1) as loading,
    ):

        def go_on() -> None:
            while not stopping.is_set():
                samples = generators.run(step, lambda: None)
                answered.append(int(samples.ok.sum()))

        running = loading.submit(go_on)
        try:
            yield answered
        finally:
            stopping.set()
            running.result()


def _turn(
    client: Client, bank: str, watch: Watch, changing: ThreadPoolExecutor, code: bytes
) -> tuple[Change, Change]:
    """Add a hash, wait until it is seen, withdraw it, wait until it is not."""
    added, answer = _change(
        lambda: client.add_entries(bank, hashes=[code]), watch, changing, code, blocked=True
    )
    entry_id = answer.results[0].entry_id
    assert entry_id is not None
    withdrawn, _ = _change(
        lambda: client.withdraw_entries([entry_id]), watch, changing, code, blocked=False
    )
    return added, withdrawn


def _change(
    send: Callable[[], Answer],
    watch: Watch,
    changing: ThreadPoolExecutor,
    code: bytes,
    *,
    blocked: bool,
) -> tuple[Change, Answer]:
    """Send a change in another thread while this one watches for it."""

    def timed() -> tuple[Answer, float]:
        return send(), time.monotonic()

    begun_s = time.monotonic()
    sent = changing.submit(timed)
    seen_s = watch.seen_s(code, blocked=blocked, begun_s=begun_s)
    answer, acknowledged_s = sent.result()
    return Change(acknowledged_s - begun_s, min(seen_s), max(seen_s)), answer
