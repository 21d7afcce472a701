"""What `imageward-bench load` leaves behind: record, ghz's JSON, histogram, page, plots."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from imageward_bench.load.figures import Figures, histogram, median_of, percentiles_ms, within
from imageward_bench.load.measure import Repetition, warnings_of
from imageward_bench.load.plots import plot_percentiles, plot_timeline
from imageward_bench.load.samples import Samples, joined
from imageward_bench.report.page import head, table, warned
from imageward_bench.report.record import Measure, Record

MICROSECONDS_PER_MS = 1000.0
GHZ_MARKS = 10


def make_record(
    benchmark: str,
    settings: Mapping[str, Any],
    repetitions: Sequence[Repetition],
    machine: Mapping[str, Any],
) -> Record:
    """Put the figures of all repetitions into a record."""
    figures = [one.figures for one in repetitions]
    return Record(
        benchmark,
        settings,
        measures_of(figures),
        {
            "median": asdict(median_of(figures)),
            "repetitions": [asdict(one) for one in figures],
            "by_call": by_call(repetitions),
            "failures": joined([one.samples for one in repetitions]).failures,
            "warnings": warnings_of(median_of(figures)),
        },
        machine,
    )


def measures_of(figures: Sequence[Figures], prefix: str = "") -> tuple[Measure, ...]:
    """Return what can be compared: rates, percentiles, errors, the server's use."""
    made = [
        Measure(f"{prefix}goodput", "1/s", "higher", tuple(f.goodput_per_s for f in figures)),
        Measure(f"{prefix}items", "1/s", "higher", tuple(f.items_per_s for f in figures)),
        Measure(f"{prefix}errors", "share", "lower", tuple(f.errors_share for f in figures)),
    ]
    for name in figures[0].latency_ms:
        if all(name in one.latency_ms for one in figures):
            values = tuple(one.latency_ms[name] for one in figures)
            made.append(Measure(f"{prefix}latency {name}", "ms", "lower", values))
    for name, unit in (("cpu_cores", "cores"), ("memory_bytes", "bytes")):
        used = [getattr(one.server, name) for one in figures]
        if None not in used:
            made.append(Measure(f"{prefix}server {name}", unit, "lower", tuple(map(float, used))))
    return tuple(made)


def by_call(repetitions: Sequence[Repetition]) -> dict[str, dict[str, float]]:
    """Return the latencies of each part of the mix by itself, over all repetitions."""
    counted = _counted(repetitions)
    return {
        f"{place} {kind}": {"calls": float(np.sum(counted.kind == place))}
        | percentiles_ms(histogram(counted.where(counted.kind == place)))
        for place, kind in enumerate(counted.kinds)
    }


def write_load(record: Record, repetitions: Sequence[Repetition], folder: Path) -> None:
    """Write all files of a load benchmark into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    name = record.benchmark
    counted = _counted(repetitions)
    record.write(folder / f"{name}.json")
    ghz = as_ghz(record, counted, repetitions)
    (folder / f"{name}.ghz.json").write_text(json.dumps(ghz, indent=1) + "\n")
    with (folder / f"{name}.hgrm").open("wb") as file:
        histogram(counted).output_percentile_distribution(file, MICROSECONDS_PER_MS)
    plot_percentiles({name: histogram(counted)}, folder / f"{name}_percentiles.png")
    plot_timeline(repetitions[-1].samples, folder / f"{name}_timeline.png")
    (folder / f"{name}.md").write_text(page(record))


def as_ghz(record: Record, counted: Samples, repetitions: Sequence[Repetition]) -> dict[str, Any]:
    """Return the figures under the names that ghz's own reports have, times in nanoseconds."""
    timed = counted.latency_ns[counted.timed]
    total_s = sum(one.window_s[1] - one.window_s[0] for one in repetitions)
    counts = histogram(counted)
    median = median_of([one.figures for one in repetitions])
    return {
        "date": record.machine["when"],
        "endReason": "normal",
        "options": dict(record.settings),
        "count": len(counted),
        "total": int(total_s * 1e9),
        "average": int(timed.mean()) if len(timed) else 0,
        "fastest": int(timed.min(initial=0)) if not len(timed) else int(timed.min()),
        "slowest": int(timed.max(initial=0)),
        "rps": median.achieved_per_s,
        "statusCodeDistribution": median.statuses,
        "errorDistribution": dict.fromkeys(counted.failures, 1),
        "latencyDistribution": [
            {"percentage": int(name[1:]), "latency": int(value * 1e6)}
            for name, value in percentiles_ms(counts).items()
            if name[1:].isdigit()
        ],
        "histogram": _ghz_histogram(timed),
    }


def page(record: Record) -> str:
    """Return the page of a load benchmark."""
    median, name = record.details["median"], record.benchmark
    repetitions = record.details["repetitions"]
    statuses = ", ".join(f"{status} {count:,}" for status, count in median["statuses"].items())
    return "\n".join(
        [
            head(f"imageward-bench {name}", record.machine, record.settings),
            warned(record.details["warnings"]),
            f"Medians of {len(repetitions)} repetitions; latency counts from the intended time.\n",
            table(
                ["calls a second", "offered", "achieved", "goodput", "items in them"],
                [_rates("median", median), *(_rates(n, r) for n, r in enumerate(repetitions, 1))],
            ),
            table(
                ["latency, ms", *median["latency_ms"]],
                [
                    ["all, median of repetitions", *median["latency_ms"].values()],
                    *(
                        [part, *(row.get(one) for one in median["latency_ms"])]
                        for part, row in record.details["by_call"].items()
                    ),
                ],
            ),
            f"Statuses: {statuses}; wrong answers: {median['wrong']:,.0f}.",
            _used(median),
            f"![latency by percentile]({name}_percentiles.png)",
            f"![latency over time]({name}_timeline.png)",
            "",
        ]
    )


def _counted(repetitions: Sequence[Repetition]) -> Samples:
    """Return the calls that count of all repetitions."""
    return joined([within(one.samples, one.window_s) for one in repetitions])


def _rates(label: object, row: Mapping[str, Any]) -> list[object]:
    names = ("offered_per_s", "achieved_per_s", "goodput_per_s", "items_per_s")
    return [f"{label}", *(row[name] for name in names)]


def _used(median: Mapping[str, Any]) -> str:
    server = median["server"]
    told = f"The busiest generator process took {median['generator_cpu']:.0%} of a core"
    told += f", processes besides {median['others_cpu']:.2f} cores"
    told += f", other machines on the same processors {median['stolen_cpu']:.2f}"
    if server["cpu_cores"] is None:
        return f"{told}; the server is not on this machine, and no metrics were given.\n"
    # Only `/proc` tells apart what is no file.
    kind = "proportional set size" if server["own_bytes"] is not None else "resident, its workers"
    return (
        f"{told}, the server {server['cpu_cores']:.2f} cores and "
        f"{server['memory_bytes'] / 1e6:,.0f} MB ({kind}).\n"
    )


def _ghz_histogram(timed: np.ndarray[Any, np.dtype[np.int64]]) -> list[dict[str, float]]:
    if not len(timed):
        return []
    counts, edges = np.histogram(timed / 1e9, GHZ_MARKS)
    return [
        {"mark": float(mark), "count": int(count), "frequency": float(count / len(timed))}
        for mark, count in zip(edges[1:], counts, strict=True)
    ]
