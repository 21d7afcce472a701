"""The picture of the lookups benchmark: time a picture against pictures in the bank.

It is processor time: a check's searches run on one thread, so that is what they take
where a core is free.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from imageward_bench.lookup_rows import LookupRow

FIRST_BAR_MS = 6.0
ALL_BAR_MS = 40.0
"""What lookups may take at a million pictures: the first pass, and all of them."""

DPI = 150
SIZE_INCHES = (8.0, 5.0)


def plot_lookups(rows: Sequence[LookupRow], path: Path) -> None:
    """Draw medians as lines, up to the 99th percentiles as bands, and what they may be."""
    figure = Figure(figsize=SIZE_INCHES, layout="constrained")
    axes = figure.add_subplot()
    images = [row.images for row in rows]
    drawn = (
        ("first pass", [row.first_cpu_ms for row in rows], FIRST_BAR_MS, "#0072B2", "o"),
        ("all passes", [row.all_cpu_ms for row in rows], ALL_BAR_MS, "#D55E00", "s"),
    )
    for name, times, bar_ms, color, marker in drawn:
        medians, p99s = ([time[place] for time in times] for place in (0, 1))
        axes.plot(images, medians, color=color, marker=marker, label=f"{name}, median")
        axes.fill_between(images, medians, p99s, color=color, alpha=0.15, label="to 99 of 100")
        axes.axhline(bar_ms, color=color, linestyle=":", label=f"{bar_ms:g} ms at a million")
    axes.set(
        xscale="log", yscale="log", xlabel="pictures banked", ylabel="processor time, ms a picture"
    )
    axes.set_title("Lookups of a picture's regional codes, one thread", fontsize="medium")
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False)
    figure.savefig(path, dpi=DPI)
