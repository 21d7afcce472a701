"""The figures of `imageward-bench edits` as a table, JSON, a heat map and a plot."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from imageward_bench.edit_run import Highest, Tally, median_ms
from imageward_bench.edit_suite import CROPS_PERCENT

LIBRARIES = ("numpy", "numba", "opencv-python-headless", "faiss-cpu")
DPI = 110


@dataclass(slots=True)
class Report:
    """Everything one run found out.

    Attributes:
        settings: seed, folders and sizes of the run.
        recalls: tallies by engine and edit.
        negatives: tallies by kind, imageward's.
        highest: the findings nearest to a block, by kind.
        missing: peers that were left out, and why.
        bank_ms: time to bank an image, decoding included.
        fingerprint_bytes: median size of a fingerprint.
    """

    settings: dict[str, Any]
    recalls: dict[str, dict[str, Tally]] = field(default_factory=dict)
    negatives: dict[str, Tally] = field(default_factory=dict)
    highest: dict[str, Highest] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    bank_ms: float = 0.0
    fingerprint_bytes: int = 0

    def mean_recall(self, engine: str) -> float:
        """The mean over the edits, each counting alike."""
        return float(np.mean([tally.recall for tally in self.recalls[engine].values()]))

    @property
    def false_blocks(self) -> int:
        """Blocks of imageward for a picture that was not sent."""
        return sum(tally.wrong for tally in self.negatives.values())


def write_json(report: Report, path: Path) -> None:
    """Write all figures, with the seed and the versions that made them."""
    document = {
        "settings": report.settings,
        "machine": {"python": platform.python_version(), "processor": platform.machine()},
        "versions": {name: version(name) for name in LIBRARIES},
        "bank_ms": report.bank_ms,
        "fingerprint_bytes": report.fingerprint_bytes,
        "mean_recall": {engine: report.mean_recall(engine) for engine in report.recalls},
        "median_ms": {engine: median_ms(tallies) for engine, tallies in report.recalls.items()},
        "recall": {
            engine: {
                edit: [tally.found, tally.doubtful, tally.wrong, tally.sent]
                for edit, tally in edits.items()
            }
            for engine, edits in report.recalls.items()
        },
        "negatives": {
            kind: {
                "sent": tally.sent,
                "blocked": tally.wrong,
                "median_ms": median_ms({kind: tally}),
            }
            for kind, tally in report.negatives.items()
        },
        "highest_unrelated": {
            kind: {"coverage": one.coverage, "doubtful": one.doubtful}
            for kind, one in report.highest.items()
        },
        "left_out": report.missing,
    }
    path.write_text(json.dumps(document, indent=1) + "\n")


def show(report: Report, console: Console) -> None:
    """Print recall by edit and engine, and what happened to the negatives."""
    recall = Table("edit", *report.recalls, title="Recall")
    edits = next(iter(report.recalls.values()))
    for edit in edits:
        recall.add_row(
            edit, *(f"{tallies[edit].recall:.2f}" for tallies in report.recalls.values())
        )
    recall.add_section()
    recall.add_row("mean", *(f"{report.mean_recall(engine):.3f}" for engine in report.recalls))
    wrong = [sum(tally.wrong for tally in tallies.values()) for tallies in report.recalls.values()]
    doubtful = [sum(t.doubtful for t in tallies.values()) for tallies in report.recalls.values()]
    recall.add_row("left to a reviewer", *map(str, doubtful))
    recall.add_row("blocked as another", *map(str, wrong))
    times = [f"{median_ms(tallies):.1f}" for tallies in report.recalls.values()]
    recall.add_row("median ms, this bank", *times)
    negatives = Table("negatives", "sent", "blocked", "highest coverage", title="False blocks")
    for kind, tally in report.negatives.items():
        highest = report.highest[kind].coverage if kind in report.highest else 0.0
        negatives.add_row(kind, str(tally.sent), str(tally.wrong), f"{highest:.2f}")
    console.print(recall, negatives)
    console.print(
        f"{report.bank_ms:.1f} ms to bank an image, {report.fingerprint_bytes} bytes each (median)"
    )
    for peer, reason in report.missing.items():
        console.print(f"{peer} is left out: {reason}")


def draw_heat_map(report: Report, path: Path) -> None:
    """Draw recall by edit and engine."""
    engines = list(report.recalls)
    edits = list(next(iter(report.recalls.values())))
    shares = np.array([[report.recalls[e][edit].recall for e in engines] for edit in edits])
    figure = Figure(figsize=(2.6 + 1.1 * len(engines), 1.2 + 0.235 * len(edits)))
    axes = figure.subplots()
    axes.imshow(shares, cmap="RdYlGn", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(engines)), engines, rotation=30, ha="left")
    axes.xaxis.tick_top()
    axes.set_yticks(range(len(edits)), edits, fontsize=8)
    for (row, column), share in np.ndenumerate(shares):
        axes.text(column, row, f"{share:.2f}", ha="center", va="center", fontsize=7)
    _save(figure, path)


def draw_crops(report: Report, path: Path) -> None:
    """Draw recall against the share of the picture that a crop keeps."""
    figure = Figure(figsize=(7, 4.2))
    axes = figure.subplots()
    for engine, tallies in report.recalls.items():
        recalls = [tallies[f"crop {percent} %"].recall for percent in CROPS_PERCENT]
        axes.plot(CROPS_PERCENT, recalls, marker="o", label=engine, clip_on=False)
    axes.invert_xaxis()
    axes.set(xlabel="share of the picture's area that is kept, %", ylabel="recall", ylim=(0, 1.03))
    axes.grid(visible=True, alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, dpi=DPI)
