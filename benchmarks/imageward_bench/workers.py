"""What several workers on one port are worth: balance, scaling, and how soon all see a change.

1. servers of one worker and of several, in turn, each under the same closed loop:
   calls a second, processor time a call, and how the work fell on the workers; where
   several keep to a processor each, the one has one too
2. a server of several under an open loop: entries are banked through one worker, and
   each worker is asked to answer at the revision that was acknowledged
"""

from __future__ import annotations

import json
import tempfile
import threading
import time
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console

from imageward_bench.cpu_bound import CannotBound, bounded
from imageward_bench.load.driver import Step
from imageward_bench.load.mix import Mix, Part
from imageward_bench.load.processes import Generators, Setup
from imageward_bench.load.requests import make_workload
from imageward_bench.machine import describe
from imageward_bench.patience import admitted
from imageward_bench.process_state import children_of
from imageward_bench.process_tree import look
from imageward_bench.report.option import JsonFile
from imageward_bench.server_process import ServerProcess
from imageward_client import Client, RetryPolicy
from imageward_server.processes.processors import processor_of

CONNECTIONS = 32
CALLS_AT_ONCE = 32
DEADLINE_S = 2.0
TIMEOUT_S = 60.0
# Connections that are tried to reach every worker with one of them.
REACH_MAX = 64
PERCENTILES = (50, 90, 99, 100)


def workers(
    count: Annotated[int, typer.Option(help="Workers to compare with one.", min=2)] = 2,
    duration_s: Annotated[float, typer.Option(help="Of each run.", min=1)] = 10.0,
    rounds: Annotated[int, typer.Option(help="Runs of each server.", min=1)] = 3,
    changes: Annotated[int, typer.Option(help="To wait for at every worker.", min=10)] = 500,
    share: Annotated[
        float, typer.Option(help="Load while changes are timed, of the peak.", min=0.01, max=1)
    ] = 0.7,
    cores_each: Annotated[
        float | None,
        typer.Option(
            help="Bound of each worker, where cores are too few for all. Writes control groups.",
            min=0.1,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of all random data.")] = 1,
    report: JsonFile = None,
    smoke: Annotated[bool, typer.Option("--smoke", help="Tiny sizes: does it run at all?")] = False,
) -> None:
    """Measure how work falls on workers, what they serve, and how soon all see a change."""
    if smoke:
        duration_s, rounds, changes = 1.0, 1, 10
    console = Console()
    runs: list[dict[str, Any]] = []
    for _ in range(rounds):
        for number in (1, count):
            try:
                # Else it would be told what keeping to a processor is worth as well.
                processor = processor_of(1, count) if number == 1 else None
                runs.append(_closed_loop(number, processor, duration_s, seed, cores_each))
            except CannotBound as error:
                console.print(f"[red]{error}; leave --cores-each out, or be root[/]")
                raise typer.Exit(1) from error
            console.print(_told(runs[-1]))
    peak_per_s = float(np.median([run["calls_per_s"] for run in runs if run["workers"] == count]))
    figures = {
        "seed": seed,
        "duration_s": duration_s,
        "connections": CONNECTIONS,
        "cores_each": cores_each,
        "runs": runs,
        "scaling": round(peak_per_s / _median_of(runs, 1, "calls_per_s"), 2),
        "cpu_ms_per_call": {
            number: _median_of(runs, number, "cpu_ms_per_call") for number in (1, count)
        },
        "busiest_to_idlest": _median_of(runs, count, "busiest_to_idlest"),
        "visibility": _visibility(count, share * peak_per_s, changes, seed),
        "machine": describe(),
    }
    console.print_json(data={name: one for name, one in figures.items() if name != "machine"})
    if report is not None:
        report.write_text(json.dumps(figures, indent=2) + "\n")


def _median_of(runs: list[dict[str, Any]], number: int, name: str) -> float:
    return round(float(np.median([run[name] for run in runs if run["workers"] == number])), 3)


def _setup(target: str, seed: int) -> Setup:
    mix = Mix(call=(Part(kind="hash", matches=0.0),))
    workload = make_workload(mix, np.empty((0, 32), np.uint8), seed)
    return Setup(target, workload, connections=CONNECTIONS)


def _closed_loop(
    number: int, processor: int | None, duration_s: float, seed: int, cores_each: float | None
) -> dict[str, Any]:
    """Run one server of so many workers as fast as it goes, or as it may."""
    flags = ("--workers", str(number))
    with (
        tempfile.TemporaryDirectory(prefix="imageward-workers-") as folder,
        ServerProcess(Path(folder) / "data", flags=flags, processor=processor) as server,
        Generators(_setup(server.target, seed)) as generators,
    ):
        pids = children_of(server.pid)
        with bounded(pids, cores_each) if cores_each else nullcontext():
            generators.run(Step(1.0, DEADLINE_S, concurrency=CALLS_AT_ONCE), lambda: None)
            before = look(*pids).cpu_s
            samples = generators.run(
                Step(duration_s, DEADLINE_S, concurrency=CALLS_AT_ONCE, seed=seed), lambda: None
            )
            after = look(*pids).cpu_s
    used_s = [after[pid] - before[pid] for pid in pids]
    answered = int(samples.ok.sum())
    return {
        "workers": number,
        "calls_per_s": round(answered / duration_s, 1),
        "failed": int((~samples.ok).sum()),
        "cpu_ms_per_call": round(sum(used_s) * 1000 / max(answered, 1), 3),
        "worker_cpu_s": [round(one, 2) for one in used_s],
        "busiest_to_idlest": round(max(used_s) / max(min(used_s), 0.01), 2),
        "generator_cpu": round(max(samples.cpu_share), 2),
    }


def _told(run: dict[str, Any]) -> str:
    return (
        f"{run['workers']} workers: {run['calls_per_s']:,.0f} calls/s, "
        f"{run['cpu_ms_per_call']} ms of processor a call, "
        f"workers used {run['worker_cpu_s']} s"
    )


def _visibility(number: int, rate_per_s: float, changes: int, seed: int) -> dict[str, Any]:
    """Time from an acknowledgement by one worker to an answer at its revision by each."""
    with (
        tempfile.TemporaryDirectory(prefix="imageward-workers-") as folder,
        ServerProcess(Path(folder) / "data", flags=("--workers", str(number))) as server,
        Generators(_setup(server.target, seed)) as generators,
        ExitStack() as opened,
    ):
        readers = _one_client_a_worker(server.target, number, opened)
        readers[0].create_bank("bench", radius=0)
        load = _Load(generators, rate_per_s, seed)
        load.start()
        waits_ms: list[float] = []
        plain_ms: list[float] = []
        refusals: list[int] = []
        for change in range(changes):
            writer = readers[change % number]
            code = np.random.default_rng([seed, change]).bytes(32)
            revision = _bank(writer, code)
            acknowledged = time.perf_counter()
            for reader in (one for one in readers if one is not writer):
                refusals += [_check(reader, code, revision)]
                waits_ms.append((time.perf_counter() - acknowledged) * 1000)
                acknowledged = time.perf_counter()
                _check(reader, code, 0)
                plain_ms.append((time.perf_counter() - acknowledged) * 1000)
        load.stop()
    return {
        "rate_per_s": round(rate_per_s, 1),
        "changes": changes,
        "seen_ms": _percentiles(waits_ms),
        "seen_unrefused_ms": _percentiles(
            [wait for wait, refused in zip(waits_ms, refusals, strict=True) if not refused]
        ),
        "refused": sum(refusals),
        "a_check_takes_ms": _percentiles(plain_ms),
    }


def _bank(writer: Client, code: bytes) -> int:
    """Bank a hash; return the revision that was acknowledged."""
    return admitted(lambda: writer.add_entries("bench", hashes=[code])).revision


def _check(reader: Client, code: bytes, revision: int) -> int:
    """Check a hash at a revision; return how often that was refused."""
    refusals: list[None] = []
    admitted(
        lambda: reader.check_hashes([code], minimum_revision=revision),
        lambda: refusals.append(None),
    )
    return len(refusals)


def _percentiles(values: list[float]) -> dict[str, float]:
    return {f"p{one}": round(float(np.percentile(values, one)), 2) for one in PERCENTILES}


def _one_client_a_worker(target: str, number: int, opened: ExitStack) -> list[Client]:
    """Connect until every worker is reached: each tells its own start time."""
    found: dict[object, Client] = {}
    for _ in range(REACH_MAX):
        client = opened.enter_context(
            # Waiting as RetryInfo says, up to 0.75 s, would be counted as the change's.
            Client(target, timeout_s=TIMEOUT_S, channels=1, retry=RetryPolicy(attempts_max=1))
        )
        found.setdefault(admitted(client.get_stats).start_time, client)
        if len(found) == number:
            return list(found.values())
    raise RuntimeError(f"{REACH_MAX} connections reached {len(found)} of {number} workers")


class _Load:
    """An open loop in the background, in steps of a second, until it is stopped."""

    def __init__(self, generators: Generators, rate_per_s: float, seed: int) -> None:
        self._generators = generators
        self._step = Step(1.0, DEADLINE_S, rate_per_s=rate_per_s, arrivals="poisson", seed=seed)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._generators.run(self._step, lambda: None)
