"""The index benchmark's two pictures: latency against size, quality against throughput."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from imageward_bench.index_rows import Row

# Okabe and Ito's colours, told apart without red and green; shapes say it again.
STYLES = (
    ("#000000", "o"),
    ("#0072B2", "s"),
    ("#E69F00", "^"),
    ("#009E73", "D"),
    ("#CC79A7", "v"),
    ("#D55E00", "P"),
    ("#56B4E9", "X"),
)

DPI = 150
SIZE_INCHES = (8.0, 5.0)


def plot_latency(rows: Sequence[Row], path: Path) -> None:
    """Draw the median of a single call against the number of codes.

    Of an engine with several settings the last is drawn, which finds most.
    """
    rows = _alike(rows)
    figure, axes = _axes(f"One query, one thread: {_case(rows[0])}")
    for style, (_, points) in zip(_styles(rows), _by_engine(rows), strict=True):
        last = {row.n: row.median_us for row in points}
        axes.plot(list(last), list(last.values()), label=points[-1].engine, **style)
    axes.set(xscale="log", yscale="log", xlabel="codes", ylabel="median latency (microseconds)")
    _save(figure, axes, path)


def plot_quality(rows: Sequence[Row], path: Path) -> None:
    """Draw throughput against recall, at the largest size that most engines reached."""
    rows = _alike(rows)
    reached = [row.n for row in rows]
    size = max(reached, key=lambda n: (reached.count(n), n))
    rows = [row for row in rows if row.n == size]
    figure, axes = _axes(f"Batches of 128, one thread, {size:,} codes: {_case(rows[0])}")
    for style, (engine, points) in zip(_styles(rows), _by_engine(rows), strict=True):
        pairs = sorted((row.recall, row.batch_qps) for row in points)
        axes.plot([r for r, _ in pairs], [q for _, q in pairs], label=engine, **style)
    axes.set(
        yscale="log",
        xlabel="recall (share of the codes within the radius that is found)",
        ylabel="throughput (queries a second)",
    )
    _save(figure, axes, path)


def _alike(rows: Sequence[Row]) -> list[Row]:
    """Keep the rows of the first row's width, radius and data: a picture shows one case."""
    first = (rows[0].width, rows[0].radius, rows[0].data)
    return [row for row in rows if (row.width, row.radius, row.data) == first]


def _case(row: Row) -> str:
    """Name a case."""
    return f"{row.width} bits, radius {row.radius}, {row.data} data"


def _family(row: Row) -> str:
    """Return an engine's name without its setting."""
    return row.engine.rstrip("0123456789 ")


def _by_engine(rows: Sequence[Row]) -> Iterable[tuple[str, list[Row]]]:
    """Group rows by engine, in the order in which engines were measured."""
    names = dict.fromkeys(_family(row) for row in rows)
    return [(name, [row for row in rows if _family(row) == name]) for name in names]


def _styles(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return a colour and a shape for each engine."""
    engines = dict.fromkeys(_family(row) for row in rows)
    return [
        {"color": color, "marker": marker}
        for _, (color, marker) in zip(engines, STYLES, strict=False)
    ]


def _axes(title: str) -> tuple[Figure, Any]:
    """Make an empty picture."""
    figure = Figure(figsize=SIZE_INCHES, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, fontsize="medium")
    axes.grid(visible=True, which="major", alpha=0.3)
    return figure, axes


def _save(figure: Figure, axes: Any, path: Path) -> None:  # noqa: ANN401  matplotlib's own union
    """Write a picture with its legend beside the data."""
    axes.legend(loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False)
    figure.savefig(path, dpi=DPI)
