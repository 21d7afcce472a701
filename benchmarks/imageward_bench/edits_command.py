"""The command `imageward-bench edits`: measure, then say it in four ways."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import typer
from rich.console import Console

from imageward_bench import photographs as bundled
from imageward_bench.edit_engines import Imageward, available_peers
from imageward_bench.edit_more import (
    QUALITY,
    enlarged,
    measure_costs,
    measure_crowded,
    measure_large,
    measure_neighbours,
)
from imageward_bench.edit_report import (
    Report,
    draw_crops,
    draw_heat_map,
    draw_pairs,
    show,
    write_json,
)
from imageward_bench.edit_run import measure_false_blocks, measure_recall
from imageward_bench.edits import decode, jpeg
from imageward_bench.report.option import JsonFile
from imageward_index.picture import warm_up

EXIT_FALSE_BLOCKS = 1
COSTED = 100
COSTED_LARGE = 10
STRANGERS = 200
MEGAPIXELS = (2, 4, 8, 12)

BankFolder = Annotated[
    Path | None, typer.Option(help="Folder of photographs to bank.", exists=True, file_okay=False)
]
OtherFolder = Annotated[
    Path | None,
    typer.Option(help="Folder of other photographs, not banked.", exists=True, file_okay=False),
]
HeldOut = Annotated[
    Path | None,
    typer.Option(help="Folder of photographs never used for tuning.", exists=True, file_okay=False),
]
OutFolder = Annotated[Path, typer.Option(help="Folder for the JSON and the pictures.")]
Photographs = Annotated[int, typer.Option(help="How many of the banked are edited.", min=1)]
Overlaid = Annotated[int, typer.Option(help="Negatives under each overlay.", min=0)]
Peers = Annotated[int, typer.Option(help="How many are edited for peers.", min=0)]
Large = Annotated[int, typer.Option(help="How many are enlarged to 2, 4, 8 and 12 MP.", min=0)]
DecoyCounts = Annotated[str, typer.Option("--decoys", help="How many decoys, such as 0,1000.")]
DecoyPhotographs = Annotated[int, typer.Option(help="How many are edited beside decoys.", min=0)]
Seed = Annotated[int, typer.Option(help="Seed of edits, overlays and choices.")]
Smoke = Annotated[bool, typer.Option("--smoke", help="Tiny sizes: does it run at all?")]


def edits(
    bank: BankFolder = None,
    negatives: OtherFolder = None,
    held_out: HeldOut = None,
    out: OutFolder = Path("edits"),
    photographs: Photographs = 100,
    overlaid: Overlaid = 60,
    peers: Peers = 10,
    large: Large = 10,
    decoys: DecoyCounts = "",
    decoy_photographs: DecoyPhotographs = 10,
    seed: Seed = 20,
    record: JsonFile = None,
    smoke: Smoke = False,
) -> None:
    """Measure recall over every edit and false blocks over every kind of negatives."""
    console = Console()
    warm_up()
    images = bundled.read_folder(bank) if bank else [bundled.read(name) for name in bundled.BANKED]
    if smoke:
        photographs, overlaid, peers, large = 1, 1, 0, 0
    others = bundled.read_folder(negatives) if negatives else []
    order = np.random.default_rng(seed).permutation(len(images)).tolist()
    shuffled = [images[number] for number in order]
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
    engine.bank(images)
    report.fingerprint_bytes = int(
        statistics.median(len(one.to_bytes()) for one in engine.fingerprints)
    )
    report.recalls[engine.name] = measure_recall(engine, images, order[:photographs], seed)
    for megapixels in MEGAPIXELS if large else ():
        report.more.large[f"{megapixels} MP"] = measure_large(
            engine, images, order[:large], megapixels, seed
        )
    if held_out:
        _measure_held_out(report, engine, images, bundled.read_folder(held_out), seed)
    _measure_peers(report, images, order[:peers], seed)
    # Shuffled, so that a folder's order is not what parts bank and negatives.
    report.negatives, report.highest, _ = measure_false_blocks(
        engine, shuffled, others, overlaid=overlaid, seed=seed
    )
    _measure_costs(report, engine, shuffled[len(shuffled) // 2 :], large, seed)
    engine.bank(shuffled[: len(shuffled) // 2])
    strangers = [*shuffled[len(shuffled) // 2 :], *others][:STRANGERS]
    for count in (int(float(count)) for count in decoys.split(",") if count):
        report.more.crowded[count] = measure_crowded(
            engine, shuffled, strangers, range(decoy_photographs), count, seed
        )
    report.more.neighbours = measure_neighbours(seed)
    with _folder(out, record) as folder:
        write_json(report, record or folder / "edits.json")
        draw_heat_map(report, folder / "edits.png")
        draw_crops(report, folder / "crops.png")
        draw_pairs(report, folder / "pairs.png")
    show(report, console)
    if report.false_blocks:
        raise typer.Exit(EXIT_FALSE_BLOCKS)


@contextmanager
def _folder(out: Path, record: Path | None) -> Iterator[Path]:
    """Where pictures go: nowhere that stays if only the figures are wanted."""
    if record is not None:
        with TemporaryDirectory() as folder:
            yield Path(folder)
    else:
        out.mkdir(parents=True, exist_ok=True)
        yield out


def _measure_held_out(
    report: Report, engine: Imageward, images: list[bytes], held_out: list[bytes], seed: int
) -> None:
    """Bank the held-out photographs beside the others, and look up every edit of them."""
    engine.bank([*held_out, *images])
    report.held_out = measure_recall(engine, held_out, range(len(held_out)), seed)


def _measure_costs(
    report: Report, engine: Imageward, unknown: list[bytes], large: int, seed: int
) -> None:
    report.more.costs["as they are"] = measure_costs(engine, unknown[:COSTED])
    for megapixels in MEGAPIXELS if large else ():
        rng = np.random.default_rng([seed, megapixels])
        uploads = [
            jpeg(enlarged(decode(image), megapixels, rng), QUALITY)
            for image in unknown[:COSTED_LARGE]
        ]
        report.more.costs[f"{megapixels} MP"] = measure_costs(engine, uploads)


def _measure_peers(report: Report, images: list[bytes], chosen: list[int], seed: int) -> None:
    here, report.missing = available_peers()
    for peer in here if chosen else []:
        peer.bank(images)
        report.recalls[peer.name] = measure_recall(peer, images, chosen, seed)
