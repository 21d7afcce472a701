"""Samples to figures: rates, percentiles, statuses, processor time, memory.

Percentiles come from an HdrHistogram of microseconds with three digits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import grpc
import numpy as np
from hdrh.histogram import HdrHistogram

from imageward_bench.load.samples import STATUS_DEADLINE_EXCEEDED, STATUS_REFUSAL, Samples

LATENCY_US_MAX = 120_000_000
DIGITS = 3
PERCENTILES = (50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99)
# A percentile is told only where at least this many calls are beyond it.
BEYOND_MIN = 5

STATUS_NAMES = {status.value[0]: status.name for status in grpc.StatusCode} | {
    STATUS_REFUSAL: "REFUSAL_IN_STREAM"
}


@dataclass(frozen=True, slots=True)
class Resources:
    """What the server used while calls were begun; None where it is not on this machine.

    Attributes:
        cpu_cores: processor seconds a second, of all its processes.
        memory_bytes: what they hold, files that several map counted once.
        own_bytes: what is no file of that, and would be held again by another process.
        processes: how many there were.
    """

    cpu_cores: float | None = None
    memory_bytes: float | None = None
    own_bytes: float | None = None
    processes: float | None = None


class Used(NamedTuple):
    """What was used while calls were begun.

    Attributes:
        server: by the server.
        others_cpu: cores, by what is neither server nor generator.
        stolen_cpu: cores, by other machines of the same hypervisor.
    """

    server: Resources = Resources()
    others_cpu: float = 0.0
    stolen_cpu: float = 0.0


@dataclass(frozen=True, slots=True)
class Figures:
    """What one repetition found out. Latencies are in milliseconds.

    Attributes:
        offered_per_s: calls that were meant to begin.
        achieved_per_s: calls that were answered, in whatever way, within the measured time.
        goodput_per_s: calls that were answered OK and in time.
        items_per_s: hashes and images in those.
        latency_ms: by percentile, with mean and max, from the intended time on.
        statuses: how many calls ended with each.
        wrong: answers that were OK and not as they must be.
        lag_ms_p99: how late the generator itself began calls.
        generator_cpu: of the busiest generator process, share of one core.
        others_cpu: cores that neither server nor generators, on this machine, took.
        stolen_cpu: cores that the hypervisor gave to other machines.
        server: what the server used.
    """

    offered_per_s: float
    achieved_per_s: float
    goodput_per_s: float
    items_per_s: float
    latency_ms: dict[str, float]
    statuses: dict[str, int]
    wrong: int
    lag_ms_p99: float
    generator_cpu: float
    others_cpu: float
    stolen_cpu: float
    server: Resources

    @property
    def errors_share(self) -> float:
        """Share of calls that were not answered OK, or wrongly."""
        calls = sum(self.statuses.values())
        return 1 - (self.statuses.get("OK", 0) - self.wrong) / calls if calls else 0.0


def figures_of(
    samples: Samples,
    items: Sequence[int],
    window_s: tuple[float, float],
    used: Used,
) -> Figures:
    """Sum up the calls that were meant to begin within a window.

    Args:
        samples: all calls of the step.
        items: hashes or images a call, by kind.
        window_s: the measured time, after the warm-up, in seconds from the step's start.
        used: what was used in it.
    """
    first_ns, last_ns = (int(one * 1e9) for one in window_s)
    span_s = window_s[1] - window_s[0]
    meant = within(samples, window_s)
    ended_ns = samples.intended_ns + samples.latency_ns
    ended = samples.where((ended_ns >= first_ns) & (ended_ns < last_ns))
    good = ended.where(ended.ok & ~ended.wrong)
    counts = np.bincount(meant.status, minlength=max(STATUS_NAMES) + 1)
    return Figures(
        offered_per_s=len(meant) / span_s,
        achieved_per_s=int(np.sum(ended.status != STATUS_DEADLINE_EXCEEDED)) / span_s,
        goodput_per_s=len(good) / span_s,
        items_per_s=float(np.take(items, good.kind).sum()) / span_s,
        latency_ms=percentiles_ms(histogram(meant)),
        statuses={name: int(counts[code]) for code, name in STATUS_NAMES.items() if counts[code]},
        wrong=int(meant.wrong.sum()),
        lag_ms_p99=float(np.percentile(meant.lag_ns, 99)) / 1e6 if len(meant) else 0.0,
        generator_cpu=max(samples.cpu_share),
        others_cpu=used.others_cpu,
        stolen_cpu=used.stolen_cpu,
        server=used.server,
    )


def within(samples: Samples, window_s: tuple[float, float]) -> Samples:
    """Return the calls that were meant to begin within a window."""
    first_ns, last_ns = (int(one * 1e9) for one in window_s)
    return samples.where((samples.intended_ns >= first_ns) & (samples.intended_ns < last_ns))


def histogram(samples: Samples) -> HdrHistogram:
    """Count latencies, in microseconds, of the calls that tell one."""
    made = HdrHistogram(1, LATENCY_US_MAX, DIGITS)
    latencies_us = np.clip(samples.latency_ns[samples.timed] // 1000, 1, LATENCY_US_MAX)
    for value, count in zip(*np.unique(latencies_us, return_counts=True), strict=True):
        made.record_value(int(value), int(count))
    return made


def percentiles_ms(counted: HdrHistogram) -> dict[str, float]:
    """Return percentiles, mean and max in milliseconds; none beyond what the calls can tell."""
    calls = counted.get_total_count()
    if not calls:
        return {}
    told = {
        f"p{percentile:g}": counted.get_value_at_percentile(percentile) / 1000
        for percentile in PERCENTILES
        if percentile <= PERCENTILES[0] or round(calls * (100 - percentile) / 100) >= BEYOND_MIN
    }
    return told | {
        "mean": counted.get_mean_value() / 1000,
        "max": counted.get_max_value() / 1000,
    }


def median_of(repetitions: Sequence[Figures]) -> Figures:
    """Return each figure's median over repetitions; counts are summed."""
    merged = _median([asdict(one) for one in repetitions])
    merged["statuses"] = {
        name: sum(one.statuses.get(name, 0) for one in repetitions)
        for name in dict.fromkeys(name for one in repetitions for name in one.statuses)
    }
    merged["wrong"] = sum(one.wrong for one in repetitions)
    merged["server"] = Resources(**merged["server"])
    return Figures(**merged)


def _median(values: Sequence[Any]) -> Any:  # noqa: ANN401 - numbers, or tables of them
    """Take medians of numbers, through tables of them; what one lacks is left out."""
    if isinstance(values[0], dict):
        shared = [key for key in values[0] if all(key in one for one in values)]
        return {key: _median([one[key] for one in values]) for key in shared}
    return None if None in values else float(np.median(values))
