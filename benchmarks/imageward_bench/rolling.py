"""Restarts under load: does the shipped client lose a call?

Callers, half of them blocking and half asyncio, find the peak in a closed loop and then
hold a share of it. Meanwhile the workers are restarted one by one (SIGUSR2), and every
second time the whole server is taken over by another.
"""

from __future__ import annotations

import asyncio
import json
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from imageward_bench.machine import describe
from imageward_bench.process_state import children_of
from imageward_bench.report.option import JsonFile
from imageward_bench.server_process import ServerProcess
from imageward_client import AsyncClient, Client, ImagewardClientError

CALLERS_EACH = 4
PEAK_S = 5.0
TIMEOUT_S = 20.0
RESTART_S_MAX = 300.0
POLL_S = 0.05
EXIT_WRONG = 1


def rolling(
    restarts: Annotated[int, typer.Option(help="How many.", min=1)] = 20,
    share: Annotated[float, typer.Option(help="Of the peak.", min=0.01, max=1.0)] = 0.7,
    workers: Annotated[int, typer.Option(help="Of the server.", min=1)] = 2,
    report: JsonFile = None,
) -> None:
    """Restart a server under load, by its workers and as a whole, and count failed calls."""
    console = Console()
    with tempfile.TemporaryDirectory(prefix="imageward-rolling-") as name:
        folder, flags = Path(name) / "data", ("--workers", str(workers))
        server = ServerProcess(folder, flags=flags)
        server.start()
        with _callers(server.target, 0.0) as counts:
            time.sleep(PEAK_S)
        peak_per_s = counts["answered"] / PEAK_S
        pause_s = 2 * CALLERS_EACH / (share * peak_per_s) - 2 * CALLERS_EACH / peak_per_s
        console.print(f"peak {peak_per_s:,.0f} calls/s; holding {share:.0%} of it")
        begun = time.monotonic()
        with _callers(server.target, pause_s) as counts:
            for number in range(restarts):
                server = _restart(server, folder, flags, whole=number % 2 == 1)
                console.print(f"restart {number + 1}: {dict(counts)}")
        held_s = time.monotonic() - begun
        server.stop()
    figures = {
        "restarts": restarts,
        "peak_per_s": round(peak_per_s, 1),
        "held_per_s": round(counts.total() / held_s, 1),
        "calls": dict(counts),
        "failed": counts.total() - counts["answered"],
        "machine": describe(),
    }
    console.print_json(data=figures)
    if report is not None:
        report.write_text(json.dumps(figures, indent=2) + "\n")
    if figures["failed"]:
        raise typer.Exit(EXIT_WRONG)


def _restart(
    server: ServerProcess, folder: Path, flags: tuple[str, ...], *, whole: bool
) -> ServerProcess:
    """Restart the workers, or take the whole server over; return the one that serves."""
    if whole:
        successor = ServerProcess(folder, server.port, (*flags, "--take-over"))
        successor.start()
        server.wait()
        return successor
    before = set(children_of(server.pid))
    server.signal(signal.SIGUSR2)
    deadline = time.monotonic() + RESTART_S_MAX
    while before & (now := set(children_of(server.pid))) or len(now) != len(before):
        if time.monotonic() > deadline:
            raise RuntimeError(f"the workers were not restarted within {RESTART_S_MAX:g} s")
        time.sleep(POLL_S)
    return server


@contextmanager
def _callers(target: str, pause_s: float) -> Iterator[Counter[str]]:
    """Call all the time, each caller with a pause after each call; count what came of it."""
    counts: Counter[str] = Counter()
    over = threading.Event()
    with Client(target, timeout_s=TIMEOUT_S) as client:
        threads = [
            threading.Thread(target=_call, args=(client, pause_s, counts, over))
            for _ in range(CALLERS_EACH)
        ]
        threads.append(
            threading.Thread(target=asyncio.run, args=(_call_async(target, pause_s, counts, over),))
        )
        for thread in threads:
            thread.start()
        try:
            yield counts
        finally:
            over.set()
            for thread in threads:
                thread.join()


def _call(client: Client, pause_s: float, counts: Counter[str], over: threading.Event) -> None:
    while not over.wait(pause_s):
        try:
            client.check_hashes([bytes(32)])
            counts["answered"] += 1
        except ImagewardClientError as error:
            counts[repr(error)] += 1


async def _call_async(
    target: str, pause_s: float, counts: Counter[str], over: threading.Event
) -> None:
    async def call(client: AsyncClient) -> None:
        while not over.is_set():
            try:
                await client.check_hashes([bytes(32)])
                counts["answered"] += 1
            except ImagewardClientError as error:
                counts[repr(error)] += 1
            await asyncio.sleep(pause_s)

    async with AsyncClient(target, timeout_s=TIMEOUT_S) as client:
        await asyncio.gather(*(call(client) for _ in range(CALLERS_EACH)))
