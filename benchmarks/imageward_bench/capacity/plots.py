"""The hockey stick: latency against the rate that is offered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from imageward_bench.capacity.knee import Objective, Point, limit
from imageward_bench.report.style import DPI, legend_below, log_scale, style

PERCENTILES = ("p50", "p99", "p99.9")
WIDTH_INCHES, HEIGHT_INCHES = 6.0, 4.5


def plot_sticks(banks: Mapping[str, Sequence[Point]], objective: Objective, path: Path) -> None:
    """Draw a picture for each bank, side by side, on one scale of latency."""
    figure = Figure(figsize=(WIDTH_INCHES * len(banks), HEIGHT_INCHES), layout="constrained")
    all_axes = figure.subplots(1, len(banks), sharey=True, squeeze=False)[0]
    for axes, (name, points) in zip(all_axes, banks.items(), strict=True):
        for number, percentile in enumerate(PERCENTILES):
            told = [
                (point.median.offered_per_s, latency)
                for point in points
                if (latency := point.median.latency_ms.get(percentile)) is not None
            ]
            if told:
                axes.plot(*zip(*told, strict=True), label=percentile, **style(number))
        axes.axhline(objective.p99_ms, color="black", linestyle=":", linewidth=1)
        held = limit(points, objective)
        title = f"{name}: nothing holds p99 {objective.p99_ms:g} ms"
        if held is not None:
            axes.axvline(held.median.offered_per_s, color="black", linestyle="--", linewidth=1)
            title = f"{name}: {held.median.offered_per_s:,.0f}/s hold p99 {objective.p99_ms:g} ms"
        axes.set_title(title, fontsize="medium")
        axes.set(yscale="log", xlabel="offered (calls a second)", xlim=(0, None))
        axes.grid(visible=True, which="major", alpha=0.3)
    all_axes[0].set_ylabel("latency from the intended time (ms)")
    log_scale(all_axes[0].yaxis)
    legend_below(figure, all_axes[0])
    figure.savefig(path, dpi=DPI)
