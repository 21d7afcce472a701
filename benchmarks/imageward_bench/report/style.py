"""How all pictures of the benchmarks look: colours, shapes, sizes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

# Okabe and Ito's colours, told apart without red and green; shapes say it again.
STYLES = (
    ("#0072B2", "o"),
    ("#E69F00", "s"),
    ("#009E73", "^"),
    ("#CC79A7", "D"),
    ("#D55E00", "v"),
    ("#56B4E9", "P"),
    ("#000000", "X"),
    ("#999999", "*"),
)
DPI = 150
LEGEND_COLUMNS = 4
SIZE_INCHES = (8.0, 4.5)


class _PlainFormatter(LogFormatter):
    """Chooses the labels that have room, and writes 0.6 where its base writes 6e-01."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        return f"{x:g}" if super().__call__(x, pos) else ""


def style(number: int) -> dict[str, Any]:
    """Return the colour and the shape of the number'th line of a picture."""
    color, marker = STYLES[number % len(STYLES)]
    return {"color": color, "marker": marker}


def axes_of(title: str) -> tuple[Figure, Any]:
    """Make an empty picture."""
    figure = Figure(figsize=SIZE_INCHES, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, fontsize="medium")
    axes.grid(visible=True, which="major", alpha=0.3)
    return figure, axes


def log_scale(axis: Any) -> None:  # noqa: ANN401 - matplotlib's own union
    """Write a logarithmic axis's numbers plainly: 20, not 2 times a power of ten."""
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(_PlainFormatter(minor_thresholds=(2, 0.5)))


def legend_below(
    figure: Figure,
    axes: Any,  # noqa: ANN401 - matplotlib's own union
    columns: int = LEGEND_COLUMNS,
) -> None:
    """Name the lines under the picture, where they cover no data; a lone line needs no name."""
    handles, labels = axes.get_legend_handles_labels()
    if len(labels) > 1:
        figure.legend(
            handles,
            labels,
            frameon=False,
            loc="outside lower center",
            ncols=columns,
        )


def save(figure: Figure, path: Path) -> None:
    """Write a picture."""
    figure.savefig(path, dpi=DPI)
