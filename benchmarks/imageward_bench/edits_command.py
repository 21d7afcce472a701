"""The command `imageward-bench edits`: measure, then say it in four ways."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console

from imageward_bench.edit_engines import Imageward, available_peers
from imageward_bench.edit_report import Report, draw_crops, draw_heat_map, show, write_json
from imageward_bench.edit_run import measure_false_blocks, measure_recall, read_folder
from imageward_index.picture import fingerprint_image

EXIT_FALSE_BLOCKS = 1
SIZED = 50

BankFolder = Annotated[
    Path, typer.Option(help="Folder of photographs to bank.", exists=True, file_okay=False)
]
OtherFolder = Annotated[
    Path | None,
    typer.Option(help="Folder of other photographs, not banked.", exists=True, file_okay=False),
]
OutFolder = Annotated[Path, typer.Option(help="Folder for the JSON and the pictures.")]
Photographs = Annotated[int, typer.Option(help="How many of the banked are edited.", min=1)]
Overlaid = Annotated[int, typer.Option(help="Negatives under each overlay.", min=0)]
Peers = Annotated[int, typer.Option(help="How many are edited for peers.", min=0)]
Seed = Annotated[int, typer.Option(help="Seed of edits, overlays and choices.")]


def edits(
    bank: BankFolder,
    negatives: OtherFolder = None,
    out: OutFolder = Path("edits"),
    photographs: Photographs = 100,
    overlaid: Overlaid = 60,
    peers: Peers = 10,
    seed: Seed = 20,
) -> None:
    """Measure recall over every edit and false blocks over every kind of negatives."""
    console = Console()
    images = read_folder(bank)
    others = read_folder(negatives) if negatives else []
    order = np.random.default_rng(seed).permutation(len(images)).tolist()
    report = Report(
        {
            "seed": seed,
            "bank": len(images),
            "negatives": len(others),
            "edited": min(photographs, len(images)),
            "edited_for_peers": min(peers, len(images)),
            "overlaid": overlaid,
        }
    )
    console.print(f"seed {seed}, {len(images)} photographs")
    engine = Imageward()
    begun = time.perf_counter()
    engine.bank(images)
    report.bank_ms = (time.perf_counter() - begun) / len(images) * 1000
    report.fingerprint_bytes = int(
        statistics.median(len(fingerprint_image(image).to_bytes()) for image in images[:SIZED])
    )
    report.recalls[engine.name] = measure_recall(engine, images, order[:photographs], seed)
    _measure_peers(report, images, order[:peers], seed)
    # Shuffled, so that a folder's order is not what parts bank and negatives.
    shuffled = [images[number] for number in order]
    report.negatives, report.highest, _ = measure_false_blocks(
        engine, shuffled, others, overlaid=overlaid, seed=seed
    )
    out.mkdir(parents=True, exist_ok=True)
    write_json(report, out / "edits.json")
    draw_heat_map(report, out / "edits.png")
    draw_crops(report, out / "crops.png")
    show(report, console)
    if report.false_blocks:
        raise typer.Exit(EXIT_FALSE_BLOCKS)


def _measure_peers(report: Report, images: list[bytes], chosen: list[int], seed: int) -> None:
    here, report.missing = available_peers()
    for peer in here if chosen else []:
        peer.bank(images)
        report.recalls[peer.name] = measure_recall(peer, images, chosen, seed)
