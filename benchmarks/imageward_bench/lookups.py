"""`imageward-bench lookups`: regional codes of a million pictures, looked up as a check does.

A bank of made-up pictures (`lookup_data`), with an attachment each as long as a
fingerprint, is built as a server builds it from a store. Then photographs that are
not in it, and that nothing in it was made from, are looked up, pass by pass as
`cascade` does, from Python, on one thread.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from imageward_bench.lookup_data import Codes, RealCodes, Source, as_bytes, compare
from imageward_bench.lookup_plot import plot_lookups
from imageward_bench.lookup_rows import LookupRow
from imageward_bench.machine import describe, peak_bytes, reset_peak
from imageward_bench.photographs import BANKED, UNRELATED, read, read_folder
from imageward_bench.report.option import JsonFile
from imageward_index.block import Block
from imageward_index.cascade import FAR_BITS, NEAR_BITS
from imageward_index.decode import decode_grey
from imageward_index.fingerprint import FINGERPRINT_BYTES_MAX
from imageward_index.index import Index
from imageward_index.manifest import Origin
from imageward_index.picture import Picture
from imageward_index.regions import BANK_CODES_MAX, MIRROR_MASK
from imageward_index.sealer import Sealer
from imageward_index.warm_up import warm_up

PICTURES_A_BLOCK: Final = 1 << 13
COMPARED_CODES: Final = 1_000_000
SMOKE_N: Final = "300"
SMOKE_QUERIES: Final = 4


@dataclass(frozen=True, slots=True)
class Pass:
    """One search of a check: codes, uint8, (n, 8), and their radius."""

    codes: NDArray[np.uint8]
    radius_bits: int


def passes_of(coarse: Codes, fine: Codes) -> list[Pass]:
    """Return the searches of a check that finds nothing, in the cascade's order."""
    return [
        Pass(as_bytes(coarse), NEAR_BITS),
        Pass(as_bytes(coarse), FAR_BITS),
        Pass(as_bytes(coarse ^ MIRROR_MASK), FAR_BITS),
        Pass(as_bytes(fine), NEAR_BITS),
        Pass(as_bytes(fine ^ MIRROR_MASK), NEAR_BITS),
    ]


def read_pictures(folder: Path | None) -> list[Picture]:
    """Decode the photographs of a folder; scikit-image's own without one."""
    images = read_folder(folder) if folder else [read(name) for name in (*BANKED, *UNRELATED)]
    return [Picture(decode_grey(image)) for image in images]


def real_codes(pictures: Sequence[Picture]) -> RealCodes:
    """Gather the codes that a bank of these pictures has."""
    codes = [picture.fine.regions.codes for picture in pictures]
    numbers = np.repeat(np.arange(len(codes)), [len(one) for one in codes])
    return RealCodes(np.concatenate(codes), numbers)


def _blocks(source: Source, images: int, rng: np.random.Generator) -> Iterator[Block]:
    """Make pictures up, some thousand at a time."""
    for first in range(0, images, PICTURES_A_BLOCK):
        ids = np.arange(first, min(first + PICTURES_A_BLOCK, images))
        codes = as_bytes(source.make(len(ids) * BANK_CODES_MAX, rng))
        attachments = {i: rng.bytes(FINGERPRINT_BYTES_MAX) for i in ids.tolist()}
        yield Block(np.repeat(ids, BANK_CODES_MAX), codes, attachments)


def _measure(
    source: Source, images: int, queries: Sequence[list[Pass]], folder: Path, seed: int
) -> LookupRow:
    """Build a bank and look every query up in it."""
    index = Index(64, attachments=True)
    # Whatever the size, the codes are sealed: the tail is measured by other means.
    sealer = Sealer(index, folder, Origin("benchmark", "benchmark", 64), seal_codes=1)
    reset_peak()
    begun = time.perf_counter()
    sealer.build(_blocks(source, images, np.random.default_rng([seed, images])), 1)
    build_s = time.perf_counter() - begun
    peak_gb = peak_bytes() / 1e9
    on_disk = sum(one.segment.file_bytes for one in index.view.segments)
    sealer.close()
    # By picture, pass, and what `_look_up` returns.
    told = np.array([_look_up(index, passes) for passes in queries])
    first, every = told[:, 0], told.sum(axis=1)
    return LookupRow(
        images=images,
        codes=len(index),
        segments=len(index.view.segments),
        first_ms=_median_and_p99(first[:, 0]),
        all_ms=_median_and_p99(every[:, 0]),
        first_cpu_ms=_median_and_p99(first[:, 1]),
        all_cpu_ms=_median_and_p99(every[:, 1]),
        first_hits=round(float(first[:, 2].mean()), 1),
        all_hits=round(float(every[:, 2].mean()), 1),
        code_bytes_an_image=round(on_disk / images - FINGERPRINT_BYTES_MAX, 1),
        attachment_bytes_an_image=FINGERPRINT_BYTES_MAX,
        build_s=round(build_s, 1),
        peak_gb=round(peak_gb, 2),
    )


def _look_up(index: Index, passes: Sequence[Pass]) -> list[tuple[float, float, int]]:
    """Run the passes of a picture; return of each its time and processor time in ms, and hits."""
    told = []
    for one in passes:
        begun, begun_cpu = time.perf_counter(), time.thread_time()
        found = index.search(one.codes, one.radius_bits)
        cpu_ms = (time.thread_time() - begun_cpu) * 1e3
        told.append(((time.perf_counter() - begun) * 1e3, cpu_ms, len(found.ids)))
    return told


def _median_and_p99(values: NDArray[np.float64]) -> tuple[float, float]:
    return round(float(np.median(values)), 3), round(float(np.percentile(values, 99)), 3)


def _table(rows: Sequence[LookupRow]) -> Table:
    table = Table("images", "codes", "segments", "first pass", "all passes", "CPU", "hits")
    for heading in ("codes B", "kept B", "build", "peak"):
        table.add_column(heading)
    for row in rows:
        table.add_row(
            f"{row.images:,}",
            f"{row.codes:,}",
            str(row.segments),
            "{:.2f} / {:.2f} ms".format(*row.first_ms),
            "{:.2f} / {:.2f} ms".format(*row.all_ms),
            f"{row.first_cpu_ms[0]:.2f}, {row.all_cpu_ms[0]:.2f} ms",
            f"{row.first_hits:,.0f}, {row.all_hits:,.0f}",
            f"{row.code_bytes_an_image:,.0f}",
            f"{row.attachment_bytes_an_image:,.0f}",
            f"{row.build_s:.0f} s",
            f"{row.peak_gb:.1f} GB",
        )
    return table


def lookups(
    n: Annotated[str, typer.Option(help="Pictures in the bank, e.g. 1e4,1e6.")] = "1e4,1e5",
    photos: Annotated[Path | None, typer.Option(help="Folder of photographs.")] = None,
    queries: Annotated[int, typer.Option(help="Photographs that are looked up.")] = 100,
    seed: Annotated[int, typer.Option(help="Of what is made up.")] = 1,
    folder: Annotated[Path | None, typer.Option(help="Where the bank lies meanwhile.")] = None,
    json_file: JsonFile = None,
    plots: Annotated[Path | None, typer.Option(help="Write a PNG into this folder.")] = None,
    smoke: Annotated[bool, typer.Option(help="Small and quick, for a check.")] = False,
) -> None:
    """Time lookups of regional codes in a bank of up to a million made-up pictures."""
    console = Console()
    started = describe()
    console.print(f"seed {seed}, {started['cpu']}, load {started['load_1min']}")
    pictures = read_pictures(photos)
    real = real_codes(pictures)
    likeness = compare(real, COMPARED_CODES // (100 if smoke else 1), np.random.default_rng(seed))
    for one in likeness:
        console.print(one, soft_wrap=True)
    # Half of the photographs ask, what is banked is made up from the other half.
    asked = pictures[::2][: SMOKE_QUERIES if smoke else queries]
    searches = [passes_of(p.coarse.regions.codes, p.fine.regions.codes) for p in asked]
    source, rows = Source(real.only(real.pictures % 2 == 1)), []
    warm_up()
    for text in (SMOKE_N if smoke else n).split(","):
        with tempfile.TemporaryDirectory(prefix="imageward-bench-", dir=folder) as made:
            rows.append(_measure(source, int(float(text)), searches, Path(made), seed))
        console.print(_table(rows[-1:]))
    told = {
        "seed": seed,
        "machine": started,
        "photographs": len(pictures),
        "queries": len(searches),
        "likeness": [asdict(one) for one in likeness],
        "rows": [asdict(row) for row in rows],
    }
    if json_file:
        json_file.write_text(json.dumps(told, indent=1) + "\n")
    if plots:
        plots.mkdir(parents=True, exist_ok=True)
        plot_lookups(rows, plots / "lookups.png")
