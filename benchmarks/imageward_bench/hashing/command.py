"""The command `imageward-bench hash`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Annotated, get_args

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from imageward_bench.hashing.engines import CHECK, REFERENCE, Engine, engines, stages_of
from imageward_bench.hashing.report import NAMES, Case, make_record, rows_of, write_hash
from imageward_bench.load import options as opt
from imageward_bench.load.mix import Format
from imageward_bench.load.pictures import make_picture
from imageward_bench.machine import describe
from imageward_bench.report.page import shown
from imageward_index.picture import warm_up

IMAGES = 5
JPEG_QUALITY = 85


def hash_images(
    megapixels: Annotated[str, typer.Option(help="Sizes, comma between.")] = "0.3,1,2,12",
    formats: Annotated[str, typer.Option(help="Formats, comma between.")] = "jpeg,png,webp",
    repetitions: opt.Repetitions = 5,
    seed: opt.Seed = 1,
    out: opt.Out = opt.OUT_DEFAULT,
    smoke: opt.Smoke = False,
) -> None:
    """Time an image's way to its fingerprint, in stages, beside its peers; one thread."""
    if smoke:
        megapixels, formats, repetitions = "0.3", "jpeg", 2
    console, machine = Console(), describe()
    warm_up()
    found, missing = engines()
    cases = []
    for size, kind in product(_sizes(megapixels), _formats(formats)):
        with console.status(f"{size:g} MP {kind}"):
            cases.append(_measure(size, kind, found, repetitions, seed))
        console.print(f"{cases[-1].name}: {_line(cases[-1])}")
    settings = {
        "images": IMAGES,
        "jpeg_quality": JPEG_QUALITY,
        "repetitions": repetitions,
        "seed": seed,
    }
    record = make_record(settings, cases, missing, machine)
    write_hash(record, cases, out)
    table = Table(*NAMES, title="Milliseconds an image")
    for row in rows_of(cases):
        table.add_row(*map(shown, row))
    console.print(table)
    for package, reason in missing.items():
        console.print(f"{package} is left out: {reason}")
    console.print(f"report in {out / 'hash.md'}")


def _measure(
    size: float, kind: Format, found: Sequence[Engine], repetitions: int, seed: int
) -> Case:
    """Time every engine and every stage on the same images, turn by turn."""
    rng = np.random.default_rng([seed, int(size * 1000)])
    images = [
        make_picture(size, kind, JPEG_QUALITY, banked=bool(number % 2), rng=rng)
        for number in range(IMAGES)
    ]
    times: dict[str, list[float]] = {engine.name: [] for engine in found}
    stages: dict[str, list[float]] = {name: [] for name, _ in stages_of(images[0])}
    for _ in range(repetitions):
        for engine in found:
            times[engine.name].append(_mean_ms(engine.run, images))
        parts = [dict(_stage_ms(image)) for image in images]
        for name, values in stages.items():
            values.append(float(np.mean([part[name] for part in parts])))
    image_bytes = int(np.mean([len(image) for image in images]))
    return Case(f"{size:g} MP {kind}", image_bytes, times, stages)


def _mean_ms(run: Callable[[bytes], object], images: Sequence[bytes]) -> float:
    begun = time.perf_counter()
    for image in images:
        run(image)
    return (time.perf_counter() - begun) / len(images) * 1e3


def _stage_ms(image: bytes) -> Iterator[tuple[str, float]]:
    for name, run in stages_of(image):
        begun = time.perf_counter()
        run()
        yield name, (time.perf_counter() - begun) * 1e3


def _sizes(text: str) -> list[float]:
    try:
        return [float(one) for one in text.split(",")]
    except ValueError as error:
        raise typer.BadParameter(f"{text} is not a list of sizes, such as 0.3,1") from error


def _formats(text: str) -> list[Format]:
    known = {name: name for name in get_args(Format)}
    if unknown := [one for one in text.split(",") if one not in known]:
        raise typer.BadParameter(f"{unknown[0]} is not one of {', '.join(known)}")
    return [known[one] for one in text.split(",")]


def _line(case: Case) -> str:
    told = f"{case.median_ms(CHECK):.1f} ms a check"
    if REFERENCE in case.times_ms:
        faster = case.median_ms(REFERENCE) / case.median_ms(CHECK)
        told += f", {faster:.1f} times as fast as {REFERENCE} for the PDQ alone"
    return told
