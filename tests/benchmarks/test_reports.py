"""Knees, sizes, comparisons, peers' judge: what reports conclude from what was measured."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from imageward_bench.capacity import command as capacity_command
from imageward_bench.capacity.command import Bench, Plan
from imageward_bench.capacity.knee import Objective, Point, explore, limit
from imageward_bench.capacity.report import Found, make_record
from imageward_bench.capacity.sizing import need
from imageward_bench.cli import app
from imageward_bench.everything import GOALS, parts_of
from imageward_bench.load.driver import Step
from imageward_bench.load.figures import Figures, Resources
from imageward_bench.load.mix import Mix, Part
from imageward_bench.peers.run import judge
from imageward_bench.report.compare import compare_measures, differences, interval
from imageward_bench.report.page import shown, table
from imageward_bench.report.record import Measure, Record, UnreadableRecord, read_record
from imageward_bench.soak.report import rise_of

OBJECTIVE = Objective(p99_ms=20, errors_share=0.001)
PLAN = Plan(
    Step(4.0, 2.0),
    warmup_s=0.0,
    calls_min=500,
    repetitions=1,
    again_s=9.0,
    connections=1,
    processes=1,
)


def _figures(rate: float, p99_ms: float, *, achieved: float | None = None) -> Figures:
    """Make figures of a server that holds a rate with one busy core."""
    server = Resources(cpu_cores=1.0, memory_bytes=1.2e9, own_bytes=0.2e9, processes=1.0)
    good = rate if achieved is None else achieved
    return Figures(
        rate, good, good, good, {"p99": p99_ms}, {"OK": 100}, 0, 0.0, 0.1, 0.0, 0.0, server
    )


def _measured(capacity_per_s: float, asked: list[float]) -> Callable[[float], Point]:
    """Return a measure of a single queue, whose latency grows without bound near its capacity."""

    def measure(rate: float) -> Point:
        asked.append(rate)
        left = 1 - rate / capacity_per_s
        figures = (
            _figures(rate, 1 / left) if left > 0 else _figures(rate, 1e4, achieved=capacity_per_s)
        )
        return Point(rate, (figures,))

    return measure


@pytest.mark.parametrize("estimate", [300.0, 1000.0, 4000.0])
def test_the_knee_of_a_queue_is_found(estimate: float) -> None:
    """A queue of 1,000/s holds 20 ms up to 950/s; so little is not known beforehand."""
    asked: list[float] = []
    points = explore(_measured(1000, asked), estimate, OBJECTIVE)
    held = limit(points, OBJECTIVE)
    assert held is not None
    assert held.rate_per_s <= 950
    assert held.rate_per_s > 0.85 * min(950, 1.2 * estimate)
    assert [point.rate_per_s for point in points] == sorted(asked)


def test_nothing_holds_where_even_little_is_too_slow() -> None:
    """The search ends, and says none."""
    points = explore(_measured(0.1, []), 1000, OBJECTIVE)
    assert limit(points, OBJECTIVE) is None


def test_a_lucky_rate_beyond_the_knee_is_no_capacity() -> None:
    """The limit holds with all lower rates."""
    points = [Point(rate, (_figures(rate, p99),)) for rate, p99 in ((1, 1), (2, 50), (3, 2))]
    held = limit(points, OBJECTIVE)
    assert held is not None
    assert held.rate_per_s == 1


@pytest.mark.parametrize(
    ("rate_per_s", "duration_s"), [(5, 30.0), (25, 20.0), (100, 5.0), (125, 4.0), (1000, 4.0)]
)
def test_a_low_rate_is_measured_for_longer(rate_per_s: float, duration_s: float) -> None:
    """Until 500 calls are due, for 30 s at most, and never for less than was asked for."""
    step = PLAN.step_at(rate_per_s)
    assert (step.rate_per_s, step.concurrency) == (rate_per_s, 0)
    assert step.duration_s == duration_s


@pytest.mark.parametrize(
    ("stolen", "others", "counted"),
    [
        ([0.04], [0.04], 0),
        ([0.5, 0.04], [0.0, 0.0], 1),
        ([0.0, 0.0], [0.5, 0.04], 1),
        ([0.5, 0.5, 0.5], [0.0, 0.0, 0.0], 2),
    ],
)
def test_disturbed_runs_are_made_again(
    stolen: list[float], others: list[float], counted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first that others left alone counts, or else the one after the time is used up.

    What other machines take cannot be had at will, so the measurements are made up.
    """
    runs = [
        replace(_figures(number, 1), stolen_cpu=one, others_cpu=other)
        for number, (one, other) in enumerate(zip(stolen, others, strict=True))
    ]
    made = iter(runs)
    monkeypatch.setattr(
        capacity_command, "measure", lambda *_arguments: SimpleNamespace(figures=next(made))
    )
    bench = Bench(Mix(call=(Part(kind="hash"),)), PLAN, Console(quiet=True))
    session: Any = SimpleNamespace(items=(1,), served=SimpleNamespace(pid=None))
    generators: Any = None
    assert bench._run((session, generators), PLAN.step) is runs[counted]
    assert list(made) == []


def test_each_reason_for_doubt_is_told_once() -> None:
    """With how many rates it is of, and the rate where it weighs most."""
    points = tuple(
        Point(rate, (replace(_figures(rate, 1), lag_ms_p99=late),))
        for rate, late in ((100.0, 0.5), (200.0, 9.0), (300.0, 2.0))
    )
    found = Found("a bank", 0, regional=False, closed=(), echo=(), points=points, half=None)
    (said,) = make_record({}, OBJECTIVE, [found], {}).details["warnings"]
    assert said.startswith("a bank, at 2 of 3 rates, most at 200/s: 1 call in 100 was begun 9.0 ms")


def test_sizes_grow_with_processes_and_share_files() -> None:
    """Ten times the uploads need ten times the cores, and the mapped files once."""
    needed = need(7000, _figures(1000, 10))
    assert needed is not None
    assert needed.cores == 10
    assert needed.memory_bytes == pytest.approx(1e9 + 10 * 0.2e9)


def _measure(better: str, *values: float) -> Measure:
    return Measure("m", "ms", better, values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("better", "before", "after", "worse"),
    [
        ("lower", (10, 10.1, 9.9), (12, 12.1, 11.9), True),
        ("lower", (10, 10.1, 9.9), (8, 8.1, 7.9), False),
        ("higher", (10, 10.1, 9.9), (8, 8.1, 7.9), True),
        ("higher", (10, 10.1, 9.9), (12, 12.1, 11.9), False),
        ("lower", (10, 10.1, 9.9), (10.5, 10.6, 10.4), False),
        # Beyond the threshold, and not surely: the repetitions differ by more than that.
        ("lower", (5, 10, 20), (6, 12, 24), False),
        ("lower", (10,), (12,), True),
        ("lower", (0.0, 0.0), (0.0, 0.0), False),
        ("lower", (0.0, 0.0), (0.5, 0.5), True),
    ],
)
def test_what_is_worse(
    better: str, before: tuple[float, ...], after: tuple[float, ...], *, worse: bool
) -> None:
    """Beyond the threshold, and surely so where repetitions can tell."""
    found = compare_measures(_measure(better, *before), _measure(better, *after), 0.1)
    assert found.worse is worse


def test_the_interval_is_welch_s() -> None:
    """On logarithms, as SciPy's own test has it."""
    import numpy as np
    from scipy import stats

    before, after = (10.0, 11.0, 10.5, 9.8), (12.0, 13.5, 12.2)
    expected = stats.ttest_ind(np.log(after), np.log(before), equal_var=False).confidence_interval()
    assert interval(before, after) == pytest.approx(tuple(np.exp(expected)))


def _written(folder: Path, name: str, *values: float) -> Path:
    file = folder / name
    machine = {"cpu": "x"}
    Record("load", {"rate": 1}, (_measure("lower", *values),), {}, machine).write(file)
    return file


@pytest.mark.parametrize(("after", "code"), [((10, 10.1), 0), ((20, 20.1), 1)])
def test_compare_is_a_gate(tmp_path: Path, after: tuple[float, ...], code: int) -> None:
    """It ends with 0 or 1, and writes the ratios."""
    files = [_written(tmp_path, "a.json", 10, 10.1), _written(tmp_path, "b.json", *after)]
    told = tmp_path / "told.json"
    words = ["compare", *map(str, files), "--threshold", "0.1", "--json", str(told)]
    ended = CliRunner().invoke(app, words)
    assert ended.exit_code == code
    assert json.loads(told.read_text())[0]["worse"] is bool(code)


def test_a_longer_run_is_of_the_same_thing() -> None:
    """Records differ in what was sent and on what, not in how long it was measured."""
    short = {"sent": "hash", "repetitions": 1, "calls_min": 0, "again_s": 0.0}
    long = {"sent": "hash", "repetitions": 3, "duration_s": 4.0, "calls_min": 500, "again_s": 180.0}
    records = [
        Record("capacity", settings, (), {}, {"cpu": cpu})
        for settings, cpu in ((short, "one"), (long, "one"), ({"sent": "image"}, "other"))
    ]
    assert differences(records[0], records[1]) == []
    assert differences(records[1], records[2]) == [
        "sent: hash and image",
        "the processors are not the same",
    ]


def test_what_is_no_record_is_refused(tmp_path: Path) -> None:
    """Another file ends the command with 2, and is named."""
    file = tmp_path / "other.json"
    file.write_text("[]")
    with pytest.raises(UnreadableRecord, match=r"other\.json"):
        read_record(file)
    assert CliRunner().invoke(app, ["compare", str(file), str(file)]).exit_code == 2


def test_records_come_back_as_they_were(tmp_path: Path) -> None:
    """Written and read, a record is equal."""
    file = _written(tmp_path, "a.json", 1, 2)
    record = read_record(file)
    record.write(tmp_path / "b.json")
    assert read_record(tmp_path / "b.json") == record


def test_peers_are_judged_by_what_must_be_found() -> None:
    """Recall is the share of what must be found; what is found besides is counted."""
    assert judge([{1, 2}, set(), {9}], [{1, 2}, {3, 4}, set()]) == (0.5, 1)


def test_tables_show_numbers_as_they_mean_something() -> None:
    """Three digits, thousands apart, and a dash where there is nothing."""
    assert [shown(one) for one in (None, 1234, 1234.5, 0.012345, 0.0, "x")] == [
        "-", "1,234", "1,234", "0.0123", "0", "x"
    ]  # fmt: skip
    assert table(["a", "b"], [["x", 1.5]]) == "| a | b |\n|---|---:|\n| x | 1.5 |\n"


@pytest.mark.parametrize("large", [False, True])
def test_the_whole_run_gives_its_parts_options_that_they_have(
    tmp_path: Path, *, large: bool
) -> None:
    """Each part of the whole run can be called as it is, and each goal's record is written."""
    parts = parts_of(large=large, photos=None, workers=2, repetitions=3, seed=1, smoke=True)
    for _, run, options in parts:
        inspect.signature(run).bind(out=tmp_path, **options)
    assert {goal.folder for goal in GOALS} <= {name for name, _, _ in parts}


def test_a_soak_tells_a_rise_and_how_sure_it_is() -> None:
    """A line's rise is told as it is, and its standard error as numpy has it."""
    hours = np.linspace(0.25, 1, 46)
    noise = np.random.default_rng(6).normal(0, 2, 46)
    exact, scattered = rise_of([*hours], [*(200 + 5 * hours)]), rise_of([*hours], [*noise])
    (slope, _), covariance = np.polyfit(hours, noise, 1, cov=True)

    assert exact == (5.0, 0.0)
    assert scattered == pytest.approx((slope, covariance[0, 0] ** 0.5), abs=0.006)
    assert rise_of([0.1, 0.2], [1.0, 9.0]) == (0.0, 0.0)
