"""The figures of `imageward-bench edits` as a table, JSON, a heat map and a plot."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from imageward_bench.edit_more import More
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
        fingerprint_bytes: median size of a fingerprint.
        held_out: tallies by edit of photographs that nothing was tuned on, imageward's.
        more: large uploads, crowded banks, neighbours and costs.
    """

    settings: dict[str, Any]
    recalls: dict[str, dict[str, Tally]] = field(default_factory=dict)
    negatives: dict[str, Tally] = field(default_factory=dict)
    highest: dict[str, Highest] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    fingerprint_bytes: int = 0
    held_out: dict[str, Tally] = field(default_factory=dict)
    more: More = field(default_factory=More)

    def mean_recall(self, engine: str) -> float:
        """The mean over the edits, each counting alike."""
        return float(np.mean([tally.recall for tally in self.recalls[engine].values()]))

    @property
    def false_blocks(self) -> int:
        """Blocks of imageward for a picture that was not sent."""
        return sum(
            tally.wrong
            for tallies in (self.negatives, self.recalls.get("imageward", {}), self.held_out)
            for tally in tallies.values()
        )


def write_json(report: Report, path: Path) -> None:
    """Write all figures, with the seed and the versions that made them."""
    document = {
        "settings": report.settings,
        "machine": {"python": platform.python_version(), "processor": platform.machine()},
        "versions": {name: version(name) for name in LIBRARIES},
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
        "held_out": {
            edit: [tally.found, tally.doubtful, tally.wrong, tally.sent]
            for edit, tally in report.held_out.items()
        },
        "costs": {size: asdict(costs) for size, costs in report.more.costs.items()},
        "large": {
            size: [tally.found, tally.wrong, tally.sent]
            for size, tally in report.more.large.items()
        },
        "crowded": {
            str(count): {"mean_recall": recall, "false_blocks": wrong, "uploads": sent}
            for count, (recall, wrong, sent) in report.more.crowded.items()
        },
        "neighbours_blocked": report.more.neighbours,
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
    console.print(f"{report.fingerprint_bytes} bytes a fingerprint (median)")
    for peer, reason in report.missing.items():
        console.print(f"{peer} is left out: {reason}")
    _show_more(report, console)


def _show_more(report: Report, console: Console) -> None:
    costs = Table("uploads", "bank", "fast", "thorough", "hash bits", title="Extra ms, 95 of 100")
    for size, cost in report.more.costs.items():
        times = (cost.bank_ms, cost.fast_ms, cost.thorough_ms)
        told = (f"{median:.1f}, {high:.1f}" for median, high in times)
        costs.add_row(size, *told, str(cost.hash_bits))
    console.print(costs)
    for size, tally in report.more.large.items():
        console.print(f"{size}: recall {tally.recall:.3f} of {tally.sent}, {tally.wrong} wrong")
    for count, (recall, wrong, sent) in report.more.crowded.items():
        console.print(f"{count} decoys: recall {recall:.3f}, {wrong} false blocks of {sent}")
    if report.held_out:
        mean = float(np.mean([tally.recall for tally in report.held_out.values()]))
        worst = sorted(report.held_out.items(), key=lambda pair: pair[1].recall)[:6]
        weak = ", ".join(f"{edit} {tally.recall:.2f}" for edit, tally in worst)
        console.print(f"held out: mean recall {mean:.3f}; weakest {weak}")
    for pair, blocked in report.more.neighbours.items():
        console.print(f"{pair}: {'blocked' if blocked else 'allowed'}")


def draw_pairs(report: Report, path: Path) -> None:
    """Draw the distances and coverages of true pairs, and the coverages of impostors."""
    true = list(report.recalls["imageward"].values())
    figure = Figure(figsize=(10, 3.6))
    left, right = figure.subplots(1, 2)
    left.hist([d for t in true for d in t.distances_bits], bins=range(0, 34, 2), label="true pairs")
    left.set(xlabel="bits between hashes of whole images, orientations tried", ylabel="uploads")
    bins = np.linspace(0, 1, 41).tolist()
    right.hist([c for t in true for c in t.coverages], bins=bins, label="true pairs", log=True)
    unrelated = [c for t in report.negatives.values() for c in t.coverages]
    right.hist(unrelated, bins=bins, label="impostors", alpha=0.7, log=True)
    right.set(xlabel="coverage of what was found by parts, 0.25 and more", ylabel="findings")
    right.legend()
    _save(figure, path)


def draw_heat_map(report: Report, path: Path) -> None:
    """Draw recall by edit and engine."""
    engines = list(report.recalls)
    edits = list(next(iter(report.recalls.values())))
    shares = np.array([[report.recalls[e][edit].recall for e in engines] for edit in edits])
    figure = Figure(figsize=(3.4 + 1.1 * len(engines), 1.2 + 0.235 * len(edits)))
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
