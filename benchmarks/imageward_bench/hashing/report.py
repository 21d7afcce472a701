"""What `imageward-bench hash` leaves behind: record, page, picture."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from imageward_bench.hashing.engines import CHECK, REFERENCE
from imageward_bench.hashing.plots import plot_hash
from imageward_bench.report.page import head, shown, table
from imageward_bench.report.record import Measure, Record

EXPLAINED = (
    "Milliseconds an image, from bytes, one thread, medians of the repetitions. A check is the "
    f"PDQ hash in 8 orientations and regional codes; {REFERENCE} gives the PDQ hash in one.\n"
)
NAMES = ("images", "engine", "ms", "images/s", "as fast as pdqhash")


@dataclass(frozen=True, slots=True)
class Case:
    """Images of one size and format.

    Attributes:
        name: size and format.
        image_bytes: mean size.
        times_ms: of each engine, the mean of an image in each repetition.
        stages_ms: the same of each stage of a check.
    """

    name: str
    image_bytes: int
    times_ms: Mapping[str, Sequence[float]]
    stages_ms: Mapping[str, Sequence[float]]

    def median_ms(self, engine: str) -> float:
        """Return an engine's median over the repetitions."""
        return statistics.median(self.times_ms[engine])


def make_record(
    settings: Mapping[str, Any],
    cases: Sequence[Case],
    missing: Mapping[str, str],
    machine: Mapping[str, Any],
) -> Record:
    """Put all times into a record."""
    measures = tuple(
        Measure(f"{case.name}, {name}", "ms", "lower", tuple(values))
        for case in cases
        for name, values in (*case.times_ms.items(), *case.stages_ms.items())
    )
    details = {"cases": [asdict(case) for case in cases], "left_out": dict(missing)}
    return Record("hash", settings, measures, details, machine)


def rows_of(cases: Sequence[Case]) -> list[list[object]]:
    """Return a row for each engine in each case."""
    rows: list[list[object]] = []
    for case in cases:
        for name in case.times_ms:
            median_ms = case.median_ms(name)
            times = None
            if REFERENCE in case.times_ms:
                times = f"{case.median_ms(REFERENCE) / median_ms:.1f}x"
            rows.append([case.name, name, median_ms, 1000 / median_ms, times])
    return rows


def write_hash(record: Record, cases: Sequence[Case], folder: Path) -> None:
    """Write all files into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    record.write(folder / "hash.json")
    plot_hash(cases, folder / "hash.png")
    (folder / "hash.md").write_text(_page(record, cases))


def _page(record: Record, cases: Sequence[Case]) -> str:
    engines = list(cases[0].times_ms)
    stages = list(cases[0].stages_ms)
    left_out = record.details["left_out"]
    return "\n".join(
        [
            head("imageward-bench hash", record.machine, record.settings),
            EXPLAINED,
            table(
                ["images", "kB", *engines, "check beside pdqhash"],
                [
                    [
                        case.name,
                        case.image_bytes // 1000,
                        *(case.median_ms(engine) for engine in engines),
                        _times(case),
                    ]
                    for case in cases
                ],
            ),
            "The stages of a check, by themselves:\n",
            table(
                ["images", *stages],
                [
                    [case.name, *(statistics.median(case.stages_ms[one]) for one in stages)]
                    for case in cases
                ],
            ),
            "![milliseconds an image](hash.png)\n",
            *(f"{package} is left out: {reason}\n" for package, reason in left_out.items()),
        ]
    )


def _times(case: Case) -> str:
    if REFERENCE not in case.times_ms:
        return shown(None)
    return f"{case.median_ms(REFERENCE) / case.median_ms(CHECK):.1f}x"
