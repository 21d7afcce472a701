"""The command `imageward-bench peers`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from imageward_bench.load import options as opt
from imageward_bench.machine import describe
from imageward_bench.peers.catalogue import PEERS, Peer
from imageward_bench.peers.report import NAMES, make_record, row_of, write_peers
from imageward_bench.peers.run import RADIUS_BITS, Outcome, make_data, run_peers
from imageward_bench.report.page import shown

EXIT_INEXACT = 1
SMOKE_N = 3000
# Of single queries, and of batches.
TIMED_S = 3.0
SMOKE_TIMED_S = 0.3
# Columns that a narrow screen has room for; the page has all.
SHOWN = (0, 2, 3, 5, 6, 9)

Only = Annotated[str, typer.Option(help="Only these, by part of the name, comma between.")]
Queries = Annotated[int, typer.Option(help="Queries, half of them near a hash.", min=2)]


def peers(
    bank_size: Annotated[str, typer.Option(help="Hashes, comma between: 1e5,1e6.")] = "1e5",
    only: Only = "",
    queries: Queries = 100,
    seed: opt.Seed = 1,
    out: opt.Out = opt.OUT_DEFAULT,
    smoke: opt.Smoke = False,
) -> None:
    """Serve the same lookups by what people would otherwise run, and compare."""
    sizes = [SMOKE_N] if smoke else [opt.count_of(one) for one in bank_size.split(",")]
    # Without the network and minutes of time, only what needs no environment of its own.
    chosen = [one for one in _chosen(only) if not (smoke and one.packages and not only)]
    timed_s = SMOKE_TIMED_S if smoke else TIMED_S
    console, machine = Console(), describe()
    settings = {
        "bank_sizes": sizes,
        "radius_bits": RADIUS_BITS,
        "queries": queries,
        "timed_s": timed_s,
        "only": only or None,
        "seed": seed,
    }
    outcomes: dict[int, list[Outcome]] = {}
    for count in sizes:
        data = make_data(count, queries, seed)
        outcomes[count] = list(run_peers(chosen, data, timed_s, console))
        # The next size may take an hour.
        write_peers(make_record(settings, outcomes, machine), outcomes, out)
    for count, found in outcomes.items():
        table = Table(*(NAMES[place] for place in SHOWN), title=f"{count:,} hashes")
        for one in found:
            row = row_of(one)
            table.add_row(*(shown(row[place]) for place in SHOWN))
        console.print(table)
    console.print(f"report in {out / 'peers.md'}")
    ours = [one for found in outcomes.values() for one in found if not one.peer.packages]
    if any(one.told is None or one.recall < 1 or one.extra for one in ours):
        raise typer.Exit(EXIT_INEXACT)


def _chosen(only: str) -> list[Peer]:
    """Return the peers whose names have one of the words.

    Raises:
        BadParameter: a word is in no name.
    """
    words = [word.strip().lower() for word in only.split(",") if word.strip()]
    for word in words:
        if not any(word in peer.name.lower() for peer in PEERS):
            raise typer.BadParameter(f"no peer is named {word}", param_hint="--only")
    return [one for one in PEERS if not words or any(word in one.name.lower() for word in words)]
