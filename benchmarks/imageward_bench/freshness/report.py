"""What `imageward-bench freshness` leaves behind: record, page, picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from imageward_bench.freshness.watch import POLL_S
from imageward_bench.report.page import head, table
from imageward_bench.report.record import Measure, Record
from imageward_bench.report.style import axes_of, legend_below, log_scale, save, style


class Change(NamedTuple):
    """When a change was known, in seconds after it was sent.

    Attributes:
        acknowledged_s: to whoever sent it.
        first_s: through the first connection.
        last_s: through the last.
    """

    acknowledged_s: float
    first_s: float
    last_s: float


class Turn(NamedTuple):
    """A hash's addition and its withdrawal."""

    added: Change
    withdrawn: Change


def make_record(
    settings: Mapping[str, Any], done: Sequence[Turn], answered: int, machine: Mapping[str, Any]
) -> Record:
    """Put all times into a record."""
    measures = tuple(
        Measure(f"{name} p{percentile}", "ms", "lower", (float(np.percentile(times, percentile)),))
        for name, times in _times_ms(done).items()
        for percentile in (50, 99)
    )
    details = {
        "turns": [[one._asdict() for one in turn] for turn in done],
        "checks_answered_meanwhile": answered,
    }
    return Record("freshness", settings, measures, details, machine)


def rows_of(done: Sequence[Turn]) -> list[list[object]]:
    """Return a row of percentiles, in milliseconds, for each time that is told."""
    return [
        [name, *(float(value) for value in np.percentile(times, (50, 99, 100)))]
        for name, times in _times_ms(done).items()
    ]


def write_freshness(record: Record, done: Sequence[Turn], folder: Path) -> None:
    """Write all files into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    record.write(folder / "freshness.json")
    _plot(done, folder / "freshness.png")
    (folder / "freshness.md").write_text(_page(record, done))


def _times_ms(done: Sequence[Turn]) -> dict[str, list[float]]:
    told: dict[str, list[float]] = {}
    for name, changes in (
        ("add", [turn.added for turn in done]),
        ("withdraw", [turn.withdrawn for turn in done]),
    ):
        seen = "seen" if name == "add" else "gone"
        told[f"{name} -> acknowledged"] = [one.acknowledged_s * 1e3 for one in changes]
        told[f"{name} -> {seen}, first connection"] = [one.first_s * 1e3 for one in changes]
        told[f"{name} -> {seen}, every connection"] = [one.last_s * 1e3 for one in changes]
    return told


def _page(record: Record, done: Sequence[Turn]) -> str:
    answered = record.details["checks_answered_meanwhile"]
    return "\n".join(
        [
            head("imageward-bench freshness", record.machine, record.settings),
            _explained(len(done), answered),
            table(["milliseconds after it was sent", "p50", "p99", "max"], rows_of(done)),
            "![time until a change is known](freshness.png)\n",
        ]
    )


def _explained(turns: int, answered: int) -> str:
    return (
        f"{turns:,} hashes were added and withdrawn; {answered:,} other checks were answered "
        f"meanwhile. Every connection asks every {POLL_S * 1e3:g} ms, which a time may hold.\n"
    )


def _plot(done: Sequence[Turn], path: Path) -> None:
    """Draw how many changes were known after how long."""
    figure, axes = axes_of("Time until a change is known, under load")
    for number, (name, times) in enumerate(_times_ms(done).items()):
        if "first" in name:
            continue
        shares = np.arange(1, len(times) + 1) / len(times) * 100
        axes.plot(np.sort(times), shares, label=name, color=style(number)["color"])
    axes.set(
        xscale="log",
        xlabel="milliseconds after the change was sent",
        ylabel="changes known by then (%)",
    )
    log_scale(axes.xaxis)
    legend_below(figure, axes, columns=2)
    save(figure, path)
