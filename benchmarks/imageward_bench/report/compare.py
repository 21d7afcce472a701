"""The command `imageward-bench compare`: two records of one benchmark, as a gate.

The ratio of each measure is that of the medians. Its confidence interval is Welch's,
on the logarithms of the repetitions; a measure that was taken once has none. A measure
is worse when its ratio is beyond the threshold and its interval does not hold 1.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table
from scipy.special import stdtrit

from imageward_bench.report.option import JsonFile
from imageward_bench.report.page import shown
from imageward_bench.report.record import Measure, Record, UnreadableRecord, read_record

EXIT_WORSE = 1
EXIT_USAGE = 2
CONFIDENCE = 0.95
REPETITIONS_MIN = 2
# Settings that say how long was measured, and how often, not what.
_LENGTH = frozenset({"repetitions", "duration_s", "warmup_s", "calls_min", "again_s"})


@dataclass(frozen=True, slots=True)
class Comparison:
    """One measure in both records.

    Attributes:
        name: the measure's.
        unit: of the medians.
        before: the first record's median.
        after: the second's.
        ratio: after over before.
        low: the lower end of the ratio's interval; None where it was measured once.
        high: the upper end.
        worse: whether it is beyond the threshold, and surely so.
    """

    name: str
    unit: str
    before: float
    after: float
    ratio: float
    low: float | None
    high: float | None
    worse: bool


def compare_measures(before: Measure, after: Measure, threshold: float) -> Comparison:
    """Compare a measure with itself.

    Args:
        before: of the first record.
        after: of the second.
        threshold: the change that is let pass, such as 0.1 for a tenth.
    """
    ratio = _ratio(before.median, after.median)
    low, high = interval(before.values, after.values)
    if before.better == "higher":
        worse = ratio < 1 / (1 + threshold) and (high is None or high < 1)
    else:
        worse = ratio > 1 + threshold and (low is None or low > 1)
    return Comparison(
        before.name, before.unit, before.median, after.median, ratio, low, high, worse
    )


def interval(
    before: tuple[float, ...], after: tuple[float, ...]
) -> tuple[float | None, float | None]:
    """Return the confidence interval of after over before; None, None where none can be told."""
    if min(len(before), len(after)) < REPETITIONS_MIN or min(*before, *after) <= 0:
        return None, None
    logs = [np.log(before), np.log(after)]
    errors = [float(one.var(ddof=1)) / len(one) for one in logs]
    middle = float(logs[1].mean() - logs[0].mean())
    total = sum(errors)
    if not total:
        return math.exp(middle), math.exp(middle)
    freedom = total**2 / sum(
        error**2 / (len(one) - 1) for error, one in zip(errors, logs, strict=True)
    )
    reach = float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) * math.sqrt(total)
    return math.exp(middle - reach), math.exp(middle + reach)


def compare_records(before: Record, after: Record, threshold: float) -> Iterator[Comparison]:
    """Compare every measure that both records have."""
    known = {one.name: one for one in before.measures}
    for one in after.measures:
        if one.name in known:
            yield compare_measures(known[one.name], one, threshold)


def differences(before: Record, after: Record) -> list[str]:
    """Name what was not the same, besides what was measured."""
    names = [name for name in {**before.settings, **after.settings} if name not in _LENGTH]
    found = [
        f"{name}: {before.settings.get(name)} and {after.settings.get(name)}"
        for name in names
        if before.settings.get(name) != after.settings.get(name)
    ]
    if before.machine["cpu"] != after.machine["cpu"]:
        found.append("the processors are not the same")
    return found


def compare(
    before: Annotated[Path, typer.Argument(help="A record, such as load.json.", dir_okay=False)],
    after: Annotated[Path, typer.Argument(help="A later one of the same benchmark.")],
    threshold: Annotated[
        float, typer.Option(help="Change for the worse that is let pass: 0.1 for a tenth.", min=0)
    ] = 0.1,
    only: Annotated[str, typer.Option(help="Only measures whose names hold this.")] = "",
    json_file: JsonFile = None,
) -> None:
    """Compare two records; end with 1 where a measure is worse by more than a threshold."""
    console = Console()
    first, second = _read(before, console), _read(after, console)
    if first.benchmark != second.benchmark:
        console.print(f"[red]{first.benchmark} and {second.benchmark} are not comparable[/]")
        raise typer.Exit(EXIT_USAGE)
    found = [one for one in compare_records(first, second, threshold) if only in one.name]
    if not found:
        console.print("[red]the records have no measure in common[/]")
        raise typer.Exit(EXIT_USAGE)
    for difference in differences(first, second):
        console.print(f"[yellow]not the same[/]: {difference}")
    console.print(_table(found))
    if json_file is not None:
        json_file.write_text(json.dumps([asdict(one) for one in found], indent=1) + "\n")
    worse = [one.name for one in found if one.worse]
    console.print(
        f"[red]worse by more than {threshold:.0%}[/]: {', '.join(worse)}"
        if worse
        else f"nothing is worse by more than {threshold:.0%}"
    )
    if worse:
        raise typer.Exit(EXIT_WORSE)


def _ratio(before: float, after: float) -> float:
    if before:
        return after / before
    return 1.0 if not after else math.inf


def _read(file: Path, console: Console) -> Record:
    try:
        return read_record(file)
    except UnreadableRecord as error:
        console.print(f"[red]{error}[/]")
        raise typer.Exit(EXIT_USAGE) from error


def _table(found: list[Comparison]) -> Table:
    table = Table("measure", "before", "after", "ratio", f"{CONFIDENCE:.0%} interval")
    for one in found:
        within = "once" if one.low is None else f"{one.low:.2f} .. {one.high:.2f}"
        ratio = f"[red]{one.ratio:.2f}[/]" if one.worse else f"{one.ratio:.2f}"
        before, after = (f"{shown(value)} {one.unit}" for value in (one.before, one.after))
        table.add_row(one.name, before, after, ratio, within)
    return table
