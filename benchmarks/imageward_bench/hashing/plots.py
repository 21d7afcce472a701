"""The picture of the hash benchmark: a check's stages beside what peers take."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from imageward_bench.report.style import DPI, STYLES, log_scale

if TYPE_CHECKING:
    from imageward_bench.hashing.report import Case

WIDTH_INCHES, ROW_INCHES, MARGIN_INCHES = 8.0, 0.9, 1.4
# Rows are 1 apart.
LETTER_ABOVE, LETTER_STEP = 0.16, 0.15


def plot_hash(cases: Sequence[Case], path: Path) -> None:
    """Draw the milliseconds of each engine, and of each stage of a check, for each case."""
    figure = Figure(
        figsize=(WIDTH_INCHES, MARGIN_INCHES + ROW_INCHES * len(cases)), layout="constrained"
    )
    axes = figure.subplots()
    engines = list(cases[0].times_ms)
    stages = list(cases[0].stages_ms)
    rows = np.arange(len(cases))[::-1]
    for place, engine in enumerate(engines):
        color, marker = STYLES[place]
        medians = [case.median_ms(engine) for case in cases]
        axes.plot(medians, rows, marker, color=color, markersize=8, label=engine)
    for place, (stage, letter) in enumerate(zip(stages, "dhr", strict=True)):
        # Stages that take about as long would be written over each other on one line.
        above = LETTER_ABOVE + LETTER_STEP * place
        for row, case in zip(rows, cases, strict=True):
            at = statistics.median(case.stages_ms[stage])
            axes.text(at, row + above, letter, ha="center", fontsize="small")
    axes.set_yticks(rows, [case.name for case in cases])
    axes.set(
        xscale="log",
        xlabel="milliseconds an image, one thread (d, h, r: decode, hash, regions of a check)",
        ylim=(-0.6, len(cases) - 0.4),
    )
    log_scale(axes.xaxis)
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5))
    figure.savefig(path, dpi=DPI)
