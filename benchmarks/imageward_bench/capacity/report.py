"""What `imageward-bench capacity` leaves behind: record, page, hockey sticks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from imageward_bench.capacity.knee import Objective, Point, limit
from imageward_bench.capacity.plots import plot_sticks
from imageward_bench.capacity.sizing import (
    PLANNED_SHARE,
    UPLOADS_PER_S,
    need,
    per_core,
    regional_bytes,
)
from imageward_bench.load.figures import Figures
from imageward_bench.load.measure import OTHERS_CPU_MAX, Doubt, doubts_of
from imageward_bench.report.page import head, table, warned
from imageward_bench.report.record import Measure, Record

PERCENTILES = ("p50", "p99", "p99.9")


@dataclass(frozen=True, slots=True)
class Found:
    """What was found out at one bank size.

    Attributes:
        name: the bank's size, as shown.
        bank_size: entries in the bank; 0 where that is not known.
        regional: whether they are whole fingerprints; else hashes alone.
        closed: the closed loop's repetitions.
        echo: those of the plain gRPC echo beside it; empty where it was left out.
        points: by rate.
        half: the point at half of the limit; None where nothing holds the objective.
        runs_again: runs that were not counted, as others disturbed them.
    """

    name: str
    bank_size: int
    regional: bool
    closed: tuple[Figures, ...]
    echo: tuple[Figures, ...]
    points: tuple[Point, ...]
    half: Point | None
    runs_again: int = 0


def make_record(
    settings: Mapping[str, Any],
    objective: Objective,
    found: Sequence[Found],
    machine: Mapping[str, Any],
) -> Record:
    """Put what was found into a record."""
    return Record(
        "capacity",
        settings,
        tuple(measure for one in found for measure in _measures(one, objective)),
        {
            "objective": str(objective),
            "banks": [asdict(one) for one in found],
            "warnings": [said for one in found for said in _warnings(one)],
        },
        machine,
    )


def write_capacity(
    record: Record, objective: Objective, found: Sequence[Found], folder: Path
) -> None:
    """Write all files into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    record.write(folder / "capacity.json")
    plot_sticks({one.name: one.points for one in found}, objective, folder / "capacity.png")
    (folder / "capacity.md").write_text(_page(record, objective, found))


def summary_row(one: Found, objective: Objective) -> list[object]:
    """Return a bank's row: closed loop, echo, limit, per core, latency at half."""
    held = limit(one.points, objective)
    closed, echo = _goodput(one.closed), _goodput(one.echo)
    return [
        one.name,
        closed,
        echo,
        f"{closed / echo:.0%}" if closed and echo else None,
        held.median.goodput_per_s if held else None,
        per_core(held.median) if held else None,
        one.half.median.latency_ms.get("p99") if one.half else None,
    ]


SUMMARY_NAMES = (
    "bank",
    "closed loop, calls/s",
    "gRPC echo, calls/s",
    "of echo",
    "limit, calls/s",
    "limit per server core",
    "p99 at half, ms",
)


def _goodput(repetitions: Sequence[Figures]) -> float | None:
    values = sorted(one.goodput_per_s for one in repetitions)
    return values[len(values) // 2] if values else None


def _measures(one: Found, objective: Objective) -> list[Measure]:
    made = [_rates(f"{one.name}: closed loop", one.closed)]
    if one.echo:
        made.append(_rates(f"{one.name}: gRPC echo", one.echo))
        # Each repetition of the two was run side by side.
        ratios = tuple(
            ours.goodput_per_s / plain.goodput_per_s
            for ours, plain in zip(one.closed, one.echo, strict=True)
        )
        made.append(Measure(f"{one.name}: share of echo", "ratio", "higher", ratios))
    if held := limit(one.points, objective):
        made.append(_rates(f"{one.name}: limit", held.repetitions))
    # Too few calls tell no slowest of a hundred: then there is nothing to compare.
    if one.half and all("p99" in figures.latency_ms for figures in one.half.repetitions):
        values = tuple(figures.latency_ms["p99"] for figures in one.half.repetitions)
        made.append(Measure(f"{one.name}: p99 at half", "ms", "lower", values))
    return made


def _rates(name: str, repetitions: Sequence[Figures]) -> Measure:
    return Measure(name, "1/s", "higher", tuple(one.goodput_per_s for one in repetitions))


def _warnings(one: Found) -> list[str]:
    """Say each reason for doubt once, with the rate where it weighs most."""
    worst: dict[str, tuple[Doubt, Point]] = {}
    rates: dict[str, int] = {}
    measured = (*one.points, one.half) if one.half else one.points
    for point in measured:
        for doubt in doubts_of(point.median):
            rates[doubt.kind] = rates.get(doubt.kind, 0) + 1
            if doubt.kind not in worst or doubt.amount > worst[doubt.kind][0].amount:
                worst[doubt.kind] = doubt, point
    return [
        f"{one.name}, at {rates[kind]} of {len(measured)} rates, most at "
        f"{point.rate_per_s:,.0f}/s: {doubt.said}"
        for kind, (doubt, point) in worst.items()
    ]


def _page(record: Record, objective: Objective, found: Sequence[Found]) -> str:
    return "\n".join(
        [
            head("imageward-bench capacity", record.machine, record.settings),
            f"Objective: {objective}. The limit is the highest rate that holds it.\n",
            table(SUMMARY_NAMES, [summary_row(one, objective) for one in found]),
            *(_runs_again(one) for one in found if one.runs_again),
            "![latency against rate](capacity.png)\n",
            *(_rate_table(one) for one in found),
            _sizing(objective, found),
            warned(record.details["warnings"]),
        ]
    )


def _runs_again(one: Found) -> str:
    return (
        f"{one.name}: {one.runs_again} runs in which others took over {OTHERS_CPU_MAX:g} cores of "
        "the machine were made again and do not count.\n"
    )


def _rate_table(one: Found) -> str:
    rows: list[list[object]] = []
    for point in one.points:
        figures = point.median
        rows.append(
            [
                f"{point.rate_per_s:,.0f}",
                figures.goodput_per_s,
                *(figures.latency_ms.get(name) for name in PERCENTILES),
                f"{figures.errors_share:.2%}",
                figures.lag_ms_p99,
                figures.server.cpu_cores,
                f"{figures.generator_cpu:.0%}",
                figures.others_cpu,
                figures.stolen_cpu,
            ]
        )
    names = ["offered, calls/s", "goodput", *(f"{name}, ms" for name in PERCENTILES)]
    names += [
        "errors",
        "begun late, p99, ms",
        "server, cores",
        "generator",
        "others, cores",
        "stolen, cores",
    ]
    return f"## {one.name}\n\n{table(names, rows)}"


def _sizing(objective: Objective, found: Sequence[Found]) -> str:
    rows: list[list[object]] = []
    for uploads in UPLOADS_PER_S:
        row: list[object] = [f"{uploads:,}"]
        for one in found:
            held = limit(one.points, objective)
            needed = need(uploads, held.median) if held else None
            row.append(
                f"{needed.cores:,} cores, {needed.memory_bytes / 1e9:.1f} GB" if needed else None
            )
        rows.append(row)
    return (
        f"## Sizing\n\nServer alone, planned at {PLANNED_SHARE:.0%} of the limit, a process a "
        "core; one upload is one call as it was sent here. Extrapolated in proportion.\n\n"
        + table(["uploads a second", *(one.name for one in found)], rows)
        + _regional([one for one in found if one.bank_size])
    )


def _regional(found: Sequence[Found]) -> str:
    """Tell how much the files of regional codes take, at most, of the memory or besides."""
    if not found:
        return ""
    bounds = "; ".join(
        f"{one.bank_size:,} images: {regional_bytes(one.bank_size) / 1e6:,.0f} MB" for one in found
    )
    if all(one.regional for one in found):
        return (
            "\nThe memory counts what was touched of the mapped files of regional codes, which "
            f"have at most: {bounds}. Give a machine as much, or lookups wait for its disk.\n"
        )
    return (
        "\nThe banks held hashes alone. With the regional codes of an image for each hash a "
        f"machine holds besides, computed and not measured here, at most: {bounds}. Cores for "
        "the search of regional codes are in no row; `--regional` measures them.\n"
    )
