"""How fast and how completely does the index find near codes, beside its peers?

Recall is judged by distance: an engine is asked which codes lie within the
radius, and what it found is counted against what FAISS's flat index finds, up to
ten a query since some engines know only nearest neighbours. Times are medians of
single calls from Python, so they hold the call itself; batches are timed apart.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console

from imageward_bench.index_data import KINDS, Codes, NoData, make_codes, make_queries
from imageward_bench.index_engines import NEIGHBOURS, Answers, Engine, FaissFlat, engines
from imageward_bench.index_plots import plot_latency, plot_quality
from imageward_bench.index_rows import Case, Row
from imageward_bench.machine import describe
from imageward_bench.report.option import JsonFile

Search = Callable[[Codes], object]

BATCH = 128
BATCHES = 5
WARM_CALLS = 3

SINGLE_S_MAX = 20.0
"""Single calls stop after this long; the median is of those made."""

SLOW_CALL_S = 0.01
"""A batch of an engine slower than this a query is timed once only."""

SMOKE_N = "20000"


def _single_s(search: Search, queries: Codes) -> list[float]:
    """Time single calls, in seconds, after a few that are not counted."""
    for row in range(min(WARM_CALLS, len(queries))):
        search(queries[row : row + 1])
    begun, times = time.perf_counter(), []
    for row in range(len(queries)):
        start = time.perf_counter()
        search(queries[row : row + 1])
        times.append(time.perf_counter() - start)
        if time.perf_counter() - begun > SINGLE_S_MAX:
            break
    return times


def _batch_s(search: Search, queries: Codes, repeats: int) -> float:
    """Time batches; return the median's seconds a query."""
    batch = np.resize(queries, (BATCH, queries.shape[1]))
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        search(batch)
        times.append(time.perf_counter() - start)
    return float(np.median(times)) / BATCH


def recall_of(found: Answers, expected: Answers) -> float:
    """Return the share of what is within the radius that was found, ten a query at most."""
    wanted = [min(len(row), NEIGHBOURS) for row in expected]
    got = [min(len(row), most) for row, most in zip(found, wanted, strict=True)]
    return sum(got) / max(1, sum(wanted))


def _measure(
    engine: Engine, case: Case, codes: Codes, queries: Codes, expected: Answers
) -> Iterator[Row]:
    """Build an engine and search it under each of its settings."""
    with tempfile.TemporaryDirectory(prefix="imageward-bench-") as folder:
        start = time.perf_counter()
        bytes_per_code = engine.build(codes, Path(folder))
        build_s = time.perf_counter() - start
        for setting in engine.settings:

            def search(batch: Codes, setting: int = setting) -> object:
                return engine.search(batch, case.radius, setting)

            times = _single_s(search, queries)
            median_s = float(np.median(times))
            yield Row(
                engine=f"{engine.name} {setting}" if setting else engine.name,
                **asdict(case),
                median_us=round(median_s * 1e6, 2),
                p99_us=round(float(np.percentile(times, 99)) * 1e6, 2),
                qps=round(1 / median_s, 1),
                batch_qps=round(
                    1 / _batch_s(search, queries, BATCHES if median_s < SLOW_CALL_S else 1), 1
                ),
                recall=round(recall_of(engine.answers(queries, case.radius, setting), expected), 4),
                bytes_per_code=round(bytes_per_code, 2),
                build_s=round(build_s, 2),
            )


def _expected(codes: Codes, queries: Codes, radius: int, folder: Path) -> Answers:
    """Return what a complete search finds."""
    judge = FaissFlat()
    judge.build(codes, folder)
    return judge.answers(queries, radius, setting=0)


def _run(
    cases: list[Case], only: set[str], queries_each: int, seed: int, console: Console
) -> Iterator[Row]:
    """Measure every engine in every case, telling each row as it comes."""
    for case in cases:
        rng = np.random.default_rng([seed, case.n, case.width, case.radius])
        try:
            codes = make_codes(case.data, case.n, case.width, rng)
        except NoData as absent:
            console.print(f"{case.data} is left out: {absent}")
            continue
        queries = make_queries(codes, queries_each, case.radius, rng)
        expected = _expected(codes, queries, case.radius, Path())
        for engine in engines():
            if case.n <= engine.codes_max and (not only or engine.name in only):
                for row in _measure(engine, case, codes, queries, expected):
                    console.print(_line(row), soft_wrap=True)
                    yield row


def _line(row: Row) -> str:
    """Tell a row on the screen."""
    return (
        f"{row.engine:18} {row.n:>11,} x {row.width} bits {row.data:9} radius {row.radius:>2}: "
        f"{row.median_us:>9,.1f} us, {row.batch_qps:>9,.0f}/s in batches, "
        f"recall {row.recall:.3f}, {row.bytes_per_code:.1f} B a code, built in {row.build_s:.1f} s"
    )


def _numbers(text: str) -> list[int]:
    """Read `1e6,1e7` as integers."""
    return [int(float(part)) for part in text.split(",")]


def index(
    n: Annotated[str, typer.Option(help="Codes, e.g. 1e6,1e7.")] = "1e5,1e6",
    width: Annotated[str, typer.Option(help="Bits of a code: 64, 256.")] = "256",
    radius: Annotated[str, typer.Option(help="Bits, inclusive, e.g. 31 or 4,6.")] = "31",
    data: Annotated[str, typer.Option(help=f"Of {', '.join(KINDS)}.")] = "uniform",
    engine: Annotated[str, typer.Option(help="Only these, by name, comma between.")] = "",
    queries: Annotated[int, typer.Option(help="Queries, half of them near a code.")] = 200,
    seed: Annotated[int, typer.Option(help="Of codes and queries.")] = 1,
    json_file: JsonFile = None,
    plots: Annotated[Path | None, typer.Option(help="Write two PNG into this folder.")] = None,
    smoke: Annotated[bool, typer.Option(help="Small and quick, for a check.")] = False,
) -> None:
    """Time the index beside its peers: median, throughput, recall, bytes, build time."""
    console = Console()
    sizes = _numbers(SMOKE_N if smoke else n)
    grid = product(sizes, _numbers(width), _numbers(radius), data.split(","))
    only = set(filter(None, engine.split(",")))
    started = describe()
    console.print(f"seed {seed}, {started['cpu']}, {started['cpu_flags']}")
    rows = list(_run([Case(*case) for case in grid], only, queries, seed, console))
    if json_file:
        told = {"seed": seed, "machine": started, "rows": [asdict(row) for row in rows]}
        json_file.write_text(json.dumps(told, indent=1) + "\n")
    if plots:
        plots.mkdir(parents=True, exist_ok=True)
        plot_latency(rows, plots / "index_latency.png")
        plot_quality(rows, plots / "index_quality.png")
