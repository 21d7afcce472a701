"""What a soak comes to: slopes, counts, percentiles; a table, a picture, a record."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.table import Table

from imageward_bench.machine import describe
from imageward_bench.report.style import SIZE_INCHES, legend_below, save, style
from imageward_bench.soak.run import Outcome, Plan, Row

# Pools fill, caches warm up, the bank takes its shape.
WARM_UP_SHARE = 0.25
# What is compared at both ends of a long run; of a short one, its thirds.
END_S = 600.0


def figures_of(plan: Plan, outcome: Outcome) -> dict[str, Any]:
    """Sum up a soak."""
    ends = max(1, min(round(END_S / plan.step_s), len(outcome.rows) // 3))
    first, last = (
        float(np.percentile(np.concatenate(part), 99))
        for part in (outcome.latencies_ms[:ends], outcome.latencies_ms[-ends:])
    )
    return {
        "plan": asdict(plan),
        "peak_per_s": round(outcome.peak_per_s, 1),
        "rate_per_s": round(outcome.rate_per_s, 1),
        "calls": sum(row.calls for row in outcome.rows),
        "failed": sum(row.failed for row in outcome.rows),
        "failures": list(dict.fromkeys(outcome.failures))[:10],
        "added": outcome.added,
        "withdrawn": outcome.withdrawn,
        "swaps": outcome.rows[-1].swaps,
        "ends_min": ends * plan.step_s / 60,
        "p99_first_ms": round(first, 2),
        "p99_last_ms": round(last, 2),
        "p99_ratio": round(last / first, 3),
        "processes": [_process(outcome.rows, pid) for pid in outcome.rows[-1].states],
        "rows": [asdict(row) for row in outcome.rows],
        "machine": describe(),
    }


def table_of(figures: dict[str, Any]) -> Table:
    """Make the table of the processes."""
    table = Table("process", "MB at the end", "MB/hour", "own MB/hour", "descriptors", "threads")
    for one in figures["processes"]:
        table.add_row(
            one["name"],
            f"{one['pss_mb_last']:.1f}",
            _told(one["pss_mb_per_hour"]),
            _told(one["own_mb_per_hour"]),
            f"{one['descriptors'][0]}..{one['descriptors'][1]}",
            f"{one['threads'][0]}..{one['threads'][1]}",
        )
    return table


def _told(rise: tuple[float, float]) -> str:
    return f"{rise[0]:+.1f} ± {rise[1]:.1f}"


def write(figures: dict[str, Any], folder: Path) -> None:
    """Write the record and the picture."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "soak.json").write_text(json.dumps(figures, indent=2) + "\n")
    _plot(figures, folder / "soak.png")


def _plot(figures: dict[str, Any], path: Path) -> None:
    """Draw memory above and latency below, on one axis of time."""
    figure = Figure(figsize=SIZE_INCHES, layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    for number, process in enumerate(figures["processes"]):
        pid = process["pid"]
        looks = [(row["end_s"] / 60, row["states"].get(pid)) for row in figures["rows"]]
        minutes, held = zip(*[(at, state) for at, state in looks if state], strict=True)
        megabytes = [state["pss_bytes"] / 1e6 for state in held]
        above.plot(minutes, megabytes, label=process["name"], markersize=3, **style(number))
    below.plot(
        [row["end_s"] / 60 for row in figures["rows"]],
        [row["p99_ms"] for row in figures["rows"]],
        color="black",
    )
    above.set_title("Memory of each process, and latency, over a soak", fontsize="medium")
    above.set(ylabel="proportional set size (MB)")
    below.set(xlabel="time since the start (min)", ylabel="p99 (ms)")
    for axes in (above, below):
        axes.set_ylim(bottom=0)
        axes.grid(visible=True, alpha=0.3)
    legend_below(figure, above)
    save(figure, path)


def _process(rows: list[Row], pid: int) -> dict[str, Any]:
    """Sum up one process after the warm-up."""
    warm = rows[int(len(rows) * WARM_UP_SHARE) :]
    told = [(row.end_s / 3600, row.states[pid]) for row in warm if pid in row.states]
    hours = [hour for hour, _ in told]
    states = [state for _, state in told]
    first_pid = next(iter(rows[-1].states))
    return {
        "pid": pid,
        "name": "supervisor" if pid == first_pid else f"worker of process {pid}",
        "pss_mb_last": round(states[-1].pss_bytes / 1e6, 2),
        "pss_mb_per_hour": rise_of(hours, [state.pss_bytes / 1e6 for state in states]),
        "own_mb_per_hour": rise_of(hours, [state.own_bytes / 1e6 for state in states]),
        "descriptors": _range([state.descriptors for state in states]),
        "threads": _range([state.threads for state in states]),
    }


def rise_of(hours: list[float], values: list[float]) -> tuple[float, float]:
    """Fit a line by least squares; return its rise an hour, and the standard error of that."""
    if len(hours) < 3:  # noqa: PLR2004 - two points lie on a line, whatever they are
        return 0.0, 0.0
    at, held = np.array(hours), np.array(values)
    line = np.polynomial.Polynomial.fit(at, held, 1).convert()
    off = float(((held - line(at)) ** 2).sum()) / (len(at) - 2)
    error = math.sqrt(off / float(((at - at.mean()) ** 2).sum()))
    return round(float(line.coef[1]) if len(line.coef) > 1 else 0.0, 2), round(error, 2)


def _range(values: list[int]) -> tuple[int, int]:
    return min(values), max(values)
