"""One soak: finds the server's peak, then holds a share of it, minute by minute."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from imageward_bench.load.driver import Step
from imageward_bench.load.mix import Mix, Part
from imageward_bench.load.processes import Generators, Setup
from imageward_bench.load.requests import make_workload
from imageward_bench.load.samples import Samples
from imageward_bench.process_state import ProcessState, children_of, state_of
from imageward_bench.process_tree import machine_time
from imageward_bench.server_process import ServerProcess
from imageward_bench.soak.churn import BATCH, Churn
from imageward_client import Client

PEAK_CALLS_AT_ONCE = 16
CONNECTIONS = 32
DEADLINE_S = 2.0
# Small, so that segments are sealed, merged and swapped often without a huge bank.
SEAL_CODES = 4 * BATCH
BANK_BATCHES = 48
# A seal every so many additions, and merges between them.
ADDITIONS_A_SWAP = 3.0
TIMEOUT_S = 60.0
# Some, because decoding is what takes and frees memory by the megabyte.
IMAGES = Part(kind="image", share=0.01, matches=0.0, megapixels=(0.3, 1.0))
HASHES = Part(kind="hash", share=0.99, matches=0.0)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a soak does.

    Attributes:
        minutes: how long the load is held.
        share: of the peak.
        workers: of the server.
        swaps_min: how often segments are to be swapped at least.
        seed: of hashes and arrivals.
        step_s: one row of the result is so long.
        peak_s: how long the peak is measured.
    """

    minutes: float
    share: float
    workers: int
    swaps_min: int
    seed: int
    step_s: float = 60.0
    peak_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Row:
    """One minute, or less in a short run.

    Attributes:
        end_s: since the start.
        calls: how many were begun.
        failed: how many were not answered OK.
        p99_ms: latency from the intended time.
        swaps: of segments, so far.
        stolen_cores: that the hypervisor gave to other machines.
        states: of the supervisor and of each worker, by process id.
    """

    end_s: float
    calls: int
    failed: int
    p99_ms: float
    swaps: int
    stolen_cores: float
    states: dict[int, ProcessState]


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that a soak found out; `latencies_ms` has one array a row."""

    peak_per_s: float
    rate_per_s: float
    rows: list[Row]
    latencies_ms: list[np.ndarray[tuple[int], np.dtype[np.float64]]]
    added: int
    withdrawn: int
    failures: Sequence[str]


def soak(plan: Plan, console: Console) -> Outcome:
    """Run it.

    Raises:
        GeneratorFailed: the load could not be sent.
        ImagewardClientError: a change was not acknowledged.
    """
    with tempfile.TemporaryDirectory(prefix="imageward-soak-", dir="/var/tmp") as name:
        folder = Path(name) / "data"
        flags = ("--workers", str(plan.workers), "--seal-codes", str(SEAL_CODES))
        with (
            ServerProcess(folder, flags=flags) as server,
            Client(server.target, timeout_s=TIMEOUT_S) as client,
        ):
            period_s = plan.minutes * 60 / (plan.swaps_min * ADDITIONS_A_SWAP)
            churn = Churn(client, folder / "segments/manifest", BANK_BATCHES, period_s, plan.seed)
            churn.fill()
            codes = np.empty((0, 32), np.uint8)
            mix = Mix(call=(HASHES, IMAGES))
            setup = Setup(server.target, make_workload(mix, codes, plan.seed), 1, CONNECTIONS)
            with Generators(setup) as generators:
                return _hold(plan, server.pid, churn, generators, console)


def _hold(plan: Plan, pid: int, churn: Churn, generators: Generators, console: Console) -> Outcome:
    peak = generators.run(
        Step(plan.peak_s, DEADLINE_S, concurrency=PEAK_CALLS_AT_ONCE, seed=plan.seed), lambda: None
    )
    peak_per_s = float(peak.ok.sum()) / plan.peak_s
    rate_per_s = plan.share * peak_per_s
    console.print(f"peak {peak_per_s:,.0f} calls/s; {rate_per_s:,.0f}/s for {plan.minutes:g} min")
    step = Step(plan.step_s, DEADLINE_S, rate_per_s=rate_per_s, arrivals="poisson", seed=plan.seed)
    outcome = Outcome(peak_per_s, rate_per_s, [], [], 0, 0, [])
    begun, failures = time.monotonic(), list[str]()
    churn.start()
    while time.monotonic() - begun < plan.minutes * 60:
        machine, row_begun = machine_time(), time.monotonic()
        samples = generators.run(step, lambda: None)
        ended = time.monotonic()
        stolen = machine_time().cores_since(machine, ended - row_begun).stolen_s
        outcome.rows.append(_row(samples, ended - begun, stolen, churn, pid))
        outcome.latencies_ms.append(samples.latency_ns[samples.timed] / 1e6)
        failures += samples.failures
        console.print(_told(outcome.rows[-1]))
    churn.stop()
    return Outcome(
        peak_per_s,
        rate_per_s,
        outcome.rows,
        outcome.latencies_ms,
        churn.added,
        churn.withdrawn,
        failures,
    )


def _row(samples: Samples, end_s: float, stolen: float, churn: Churn, pid: int) -> Row:
    timed_ms = samples.latency_ns[samples.timed] / 1e6
    return Row(
        round(end_s, 1),
        len(samples),
        int((~samples.ok).sum()),
        round(float(np.percentile(timed_ms, 99)), 2),
        churn.swaps,
        round(stolen, 3),
        {one: state_of(one) for one in (pid, *children_of(pid))},
    )


def _told(row: Row) -> str:
    pss_mb = sum(state.pss_bytes for state in row.states.values()) / 1e6
    return (
        f"{row.end_s / 60:6.1f} min  {row.calls:,} calls, {row.failed} failed, "
        f"p99 {row.p99_ms:.1f} ms, {row.swaps} swaps, {pss_mb:,.0f} MB, "
        f"{row.stolen_cores:.2f} cores stolen"
    )
