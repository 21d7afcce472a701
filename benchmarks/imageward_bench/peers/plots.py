"""The picture of the peers: lookups a second, with recall written beside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from imageward_bench.peers.run import Outcome
from imageward_bench.report.style import DPI, STYLES

WIDTH_INCHES, ROW_INCHES, MARGIN_INCHES = 8.0, 0.36, 1.4
OURS, THEIRS = STYLES[0][0], STYLES[7][0]


def plot_peers(sizes: Mapping[int, Sequence[Outcome]], path: Path) -> None:
    """Draw a bar for each peer, one picture a bank size, below each other."""
    shown = {
        count: sorted(
            (one for one in outcomes if one.told is not None),
            key=lambda one: one.told["lookups_per_s"] if one.told else 0.0,
        )
        for count, outcomes in sizes.items()
    }
    heights = [max(1, len(outcomes)) * ROW_INCHES + MARGIN_INCHES for outcomes in shown.values()]
    figure = Figure(figsize=(WIDTH_INCHES, sum(heights)), layout="constrained")
    all_axes = figure.subplots(
        len(shown), 1, squeeze=False, gridspec_kw={"height_ratios": heights}
    )[:, 0]
    for axes, (count, outcomes) in zip(all_axes, shown.items(), strict=True):
        rates = [one.told["lookups_per_s"] for one in outcomes if one.told]
        names = [f"{one.peer.name} ({one.peer.reached})" for one in outcomes]
        ours = [one.peer.name.startswith("imageward") for one in outcomes]
        axes.barh(names, rates, color=[OURS if one else THEIRS for one in ours])
        for row, (one, rate) in enumerate(zip(outcomes, rates, strict=True)):
            missed = "" if one.recall == 1 else f", recall {one.recall:.2f}"
            axes.text(rate * 1.1, row, f"{rate:,.0f}/s{missed}", va="center", fontsize="small")
        axes.set(
            xscale="log",
            xlabel="lookups a second, one caller, one after another",
            title=f"{count:,} hashes of 256 bits, radius 31",
        )
        if rates:
            axes.xaxis.set_major_formatter("{x:,.0f}")
            axes.set_xlim(min(rates) / 2, max(rates) * 12)
    figure.savefig(path, dpi=DPI)
