"""What `imageward-bench peers` leaves behind: record, page, picture."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from imageward_bench.peers.plots import plot_peers
from imageward_bench.peers.run import Outcome
from imageward_bench.report.page import head, table
from imageward_bench.report.record import Measure, Record

Sizes = Mapping[int, Sequence[Outcome]]

EXPLAINED = (
    "Half of the queries lie within the radius of a banked hash. Recall is judged against a full "
    "scan. One caller asks one after another; many is what each documents as its fastest. Memory "
    "is the proportional set size of all its processes, of a database without the system's page "
    "cache.\n"
)
NAMES = (
    "peer",
    "reached by",
    "p50, ms",
    "p99, ms",
    "lookups/s, one caller",
    "lookups/s, many",
    "recall",
    "memory, MB",
    "build, s",
    "added -> found, ms",
)


def make_record(settings: Mapping[str, Any], sizes: Sizes, machine: Mapping[str, Any]) -> Record:
    """Put all outcomes into a record."""
    measures, peers = [], []
    for count, outcomes in sizes.items():
        for one in outcomes:
            prefix = f"{count:,}, {one.peer.name}"
            peers.append(
                {
                    "bank_size": count,
                    "name": one.peer.name,
                    "settings": one.peer.settings,
                    "versions": one.versions,
                    "skipped": one.skipped,
                    "recall": one.recall,
                    "extra": one.extra,
                    "told": one.told,
                }
            )
            if one.told is not None:
                measures += [
                    Measure(f"{prefix}: p50", "ms", "lower", (one.told["p50_ms"],)),
                    Measure(f"{prefix}: p99", "ms", "lower", (one.told["p99_ms"],)),
                    Measure(f"{prefix}: many", "1/s", "higher", (one.told["many_per_s"],)),
                    Measure(f"{prefix}: recall", "share", "higher", (one.recall,)),
                ]
    return Record("peers", settings, tuple(measures), {"peers": peers}, machine)


def row_of(one: Outcome) -> list[object]:
    """Return a peer's row."""
    if one.told is None:
        return [one.peer.name, one.peer.reached, *[None] * (len(NAMES) - 2)]
    found = [added for added in one.told["added_s"] if added is not None]
    return [
        one.peer.name,
        one.peer.reached,
        one.told["p50_ms"],
        one.told["p99_ms"],
        one.told["lookups_per_s"],
        one.told["many_per_s"],
        f"{one.recall:.3f}" + (f", {one.extra} wrong" if one.extra else ""),
        one.told["memory_bytes"] / 1e6,
        one.told["build_s"],
        statistics.median(found) * 1e3 if found else None,
    ]


def write_peers(record: Record, sizes: Sizes, folder: Path) -> None:
    """Write all files into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    record.write(folder / "peers.json")
    plot_peers(sizes, folder / "peers.png")
    (folder / "peers.md").write_text(_page(record, sizes))


def _page(record: Record, sizes: Sizes) -> str:
    parts = [head("imageward-bench peers", record.machine, record.settings), EXPLAINED]
    for count, outcomes in sizes.items():
        parts += [f"## {count:,} hashes\n", table(NAMES, [row_of(one) for one in outcomes])]
    parts += ["![lookups a second and recall of each peer](peers.png)\n", "## Settings\n"]
    known = {one.peer.name: one for outcomes in sizes.values() for one in outcomes}
    parts.append(
        "\n".join(
            f"- **{name}**: {one.peer.settings}; many: {one.told['many']}"
            + (f"; {one.versions}" if one.versions else "")
            for name, one in known.items()
            if one.told is not None
        )
    )
    parts.append(
        "\n".join(
            f"- **{one.peer.name}** at {count:,} is left out: {one.skipped}"
            for count, outcomes in sizes.items()
            for one in outcomes
            if one.skipped
        )
    )
    return "\n".join(parts) + "\n"
