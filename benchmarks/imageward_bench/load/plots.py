"""Pictures of one load: latency by percentile, latency over time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from hdrh.histogram import HdrHistogram

from imageward_bench.load.samples import Samples
from imageward_bench.report.style import axes_of, legend_below, log_scale, save, style

SLOTS = 60
# The percentile axis is drawn by the nines: 50 %, 90 %, 99 %, ...
NINES = (0.0, 0.5, 0.9, 0.99, 0.999, 0.9999)


def plot_percentiles(counted: Mapping[str, HdrHistogram], path: Path) -> None:
    """Draw latency against the share of calls that were at least as fast."""
    figure, axes = axes_of("Latency from the intended time, by share of calls")
    for number, (name, one) in enumerate(counted.items()):
        calls = one.get_total_count()
        nines = np.linspace(0, np.log10(max(calls, 2)), 200)
        shares = 1 - 10**-nines
        latencies = [one.get_value_at_percentile(100 * share) / 1000 for share in shares]
        axes.plot(nines, latencies, label=name, color=style(number)["color"])
    ticks = [-np.log10(1 - share) for share in NINES]
    axes.set_xticks(ticks, [f"{share * 100:g} %" for share in NINES])
    axes.set(yscale="log", xlabel="share of calls", ylabel="latency (ms)")
    log_scale(axes.yaxis)
    legend_below(figure, axes)
    save(figure, path)


def plot_timeline(samples: Samples, path: Path) -> None:
    """Draw percentiles of the latency over the time of one repetition, warm-up included."""
    figure, axes = axes_of("Latency over the last repetition, by intended time")
    timed = samples.where(samples.timed)
    if len(timed):
        seconds = timed.intended_ns / 1e9
        edges = np.linspace(0, seconds.max(), SLOTS + 1)
        slot = np.clip(np.digitize(seconds, edges) - 1, 0, SLOTS - 1)
        for number, percentile in enumerate((50, 99, 100)):
            heights = [
                np.percentile(timed.latency_ns[slot == one] / 1e6, percentile)
                if np.any(slot == one)
                else np.nan
                for one in range(SLOTS)
            ]
            label = "slowest" if percentile == 100 else f"p{percentile}"  # noqa: PLR2004 - of 100
            axes.plot(edges[:-1], heights, label=label, markersize=3, **style(number))
        legend_below(figure, axes)
    axes.set(yscale="log", xlabel="time since the start (s)", ylabel="latency (ms)")
    log_scale(axes.yaxis)
    save(figure, path)
