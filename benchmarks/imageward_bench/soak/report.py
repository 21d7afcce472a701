"""What a soak comes to: slopes, counts, percentiles; a table, a picture, a record."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from imageward_bench.machine import describe
from imageward_bench.report.style import axes_of, save, style
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
            f"{one['pss_mb_per_hour']:+.1f}",
            f"{one['own_mb_per_hour']:+.1f}",
            f"{one['descriptors'][0]}..{one['descriptors'][1]}",
            f"{one['threads'][0]}..{one['threads'][1]}",
        )
    return table


def write(figures: dict[str, Any], outcome: Outcome, folder: Path) -> None:
    """Write the record and the picture."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "soak.json").write_text(json.dumps(figures, indent=2) + "\n")
    figure, axes = axes_of("Memory of each process, and latency, over a soak")
    minutes = [row.end_s / 60 for row in outcome.rows]
    for number, process in enumerate(figures["processes"]):
        held = [row.states[process["pid"]].pss_bytes / 1e6 for row in _with(outcome, process)]
        axes.plot(minutes[-len(held) :], held, label=process["name"], markersize=3, **style(number))
    axes.set(xlabel="time since the start (min)", ylabel="proportional set size (MB)")
    axes.set_ylim(bottom=0)
    right = axes.twinx()
    right.plot(minutes, [row.p99_ms for row in outcome.rows], color="#999999", label="p99")
    right.set(ylabel="p99 (ms)")
    right.set_ylim(bottom=0)
    axes.legend(frameon=False, loc="center left")
    right.legend(frameon=False, loc="center right")
    save(figure, folder / "soak.png")


def _with(outcome: Outcome, process: dict[str, Any]) -> list[Row]:
    return [row for row in outcome.rows if process["pid"] in row.states]


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
        "pss_mb_per_hour": _slope(hours, [state.pss_bytes / 1e6 for state in states]),
        "own_mb_per_hour": _slope(hours, [state.own_bytes / 1e6 for state in states]),
        "descriptors": _range([state.descriptors for state in states]),
        "threads": _range([state.threads for state in states]),
    }


def _slope(hours: list[float], values: list[float]) -> float:
    """Fit a line by least squares; return its rise an hour."""
    if len(hours) < 2:  # noqa: PLR2004 - a line needs two points
        return 0.0
    return round(float(np.polyfit(hours, values, 1)[0]), 2)


def _range(values: list[int]) -> tuple[int, int]:
    return min(values), max(values)
