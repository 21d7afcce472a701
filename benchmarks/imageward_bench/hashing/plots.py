"""The picture of the hash benchmark: a check beside what peers take, and its stages."""

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

WIDTH_INCHES, ROW_INCHES, MARGIN_INCHES = 11.0, 0.6, 2.0
HATCHES = ("", "//", "..")
LEGEND_COLUMNS = 2


def plot_hash(cases: Sequence[Case], path: Path) -> None:
    """Draw the milliseconds of each engine, and beside them the stages of a check."""
    figure = Figure(
        figsize=(WIDTH_INCHES, MARGIN_INCHES + ROW_INCHES * len(cases)), layout="constrained"
    )
    engines, stages = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    rows = np.arange(len(cases))[::-1]
    for (color, marker), engine in zip(STYLES, cases[0].times_ms, strict=False):
        medians = [case.median_ms(engine) for case in cases]
        engines.plot(medians, rows, marker, color=color, markersize=8, label=engine)
    engines.set(
        xscale="log",
        xlabel="milliseconds an image, one thread",
        ylim=(-0.6, len(cases) - 0.4),
    )
    engines.set_yticks(rows, [case.name for case in cases])
    log_scale(engines.xaxis)
    before = np.zeros(len(cases))
    for (color, _), hatch, stage in zip(STYLES, HATCHES, cases[0].stages_ms, strict=False):
        took = np.array([statistics.median(case.stages_ms[stage]) for case in cases])
        stages.barh(rows, took, 0.5, before, color=color, hatch=hatch, ec="white", label=stage)
        before += took
    stages.set_xlabel("milliseconds of a check by imageward")
    for axes in (engines, stages):
        axes.grid(visible=True, which="major", alpha=0.3)
        axes.set_axisbelow(True)
        axes.legend(
            frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=LEGEND_COLUMNS
        )
    figure.savefig(path, dpi=DPI)
