"""The command `imageward-bench all`: every benchmark of the service, and one page of them.

The page begins with the goals: what was asked for, what was measured, and what the
same machine gave to a reference in the same run.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from imageward_bench.capacity.command import capacity
from imageward_bench.freshness.command import freshness
from imageward_bench.hashing.command import hash_images
from imageward_bench.hashing.engines import CHECK, REFERENCE
from imageward_bench.load import options as opt
from imageward_bench.load.command import load
from imageward_bench.peers.command import peers
from imageward_bench.report.page import shown, table
from imageward_bench.report.record import Record, read_record

BATCH = 1000
# A worker a core, as OPERATIONS.md advises.
CORES = os.cpu_count() or 1
IMAGES_AT_ONCE = 8
IMAGE_P99_MS = 100.0
# A million take 16 GB of memory while their segments are built.
FINGERPRINTS = "1e5"
BATCHES_AT_ONCE = 4
# Approximate indexes of some peers take an hour to build at a million.
PEERS_SIZE = "1e5"

Large = Annotated[bool, typer.Option(help="Ten million hashes too: minutes to fill at first.")]


@dataclass(frozen=True, slots=True)
class Goal:
    """What is asked of the service, and how it is read from a record.

    Attributes:
        name: what is measured.
        goal: the least, or the most, that is wanted.
        unit: of it.
        at_least: whether more is better.
        folder: of the record.
        benchmark: whose record it is.
        measure: its name there, or the end of it.
        reference: the same of what it is compared with, and its name; empty for none.
    """

    name: str
    goal: float
    unit: str
    at_least: bool
    folder: str
    benchmark: str
    measure: str
    reference: tuple[str, str] = ("", "")


GOALS = (
    Goal(
        "unary hash checks, 1 M hashes", 7000, "1/s", at_least=True,
        folder="hashes", benchmark="capacity", measure="closed loop",
        reference=("gRPC echo", "a plain gRPC echo"),
    ),
    Goal(
        "the same beside the echo", 0.7, "ratio", at_least=True,
        folder="hashes", benchmark="capacity", measure="share of echo",
    ),
    Goal(
        "p99 of them at half of the limit", 5, "ms", at_least=False,
        folder="hashes", benchmark="capacity", measure="p99 at half",
    ),
    Goal(
        "hashes in batches of 1,000, 10 M hashes", 12_000, "1/s", at_least=True,
        folder="batches", benchmark="load", measure="items",
    ),
    Goal(
        "checks of 1 MP JPEGs, regional codes of 100,000 images", 120, "1/s", at_least=True,
        folder="images", benchmark="capacity", measure="closed loop",
    ),
    Goal(
        "a 2 MP JPEG's check", 0, "ms", at_least=False,
        folder="hash", benchmark="hash", measure=f"2 MP jpeg, {CHECK}",
        reference=(f"2 MP jpeg, {REFERENCE}", REFERENCE),
    ),
)  # fmt: skip
# A whole check must be this many times as fast as the PDQ hash by the reference alone.
HASH_TIMES_MIN = 3


def everything(
    large: Large = True,
    photos: opt.Photos = None,
    workers: opt.Workers = CORES,
    repetitions: opt.Repetitions = 3,
    seed: opt.Seed = 1,
    out: opt.Out = opt.OUT_DEFAULT,
    smoke: opt.Smoke = False,
) -> None:
    """Run every benchmark of the service, and write one page of them."""
    console = Console()
    parts = parts_of(
        large=large,
        photos=photos,
        workers=workers,
        repetitions=repetitions,
        seed=seed,
        smoke=smoke,
    )
    failed = []
    for name, run, options in parts:
        console.rule(name)
        try:
            run(out=out / name, **options)
        except typer.Exit:
            failed.append(name)
    (out / "report.md").write_text(_page(out, [name for name, _, _ in parts]))
    console.print(f"one page of all in {out / 'report.md'}")
    if failed:
        console.print(f"[red]failed[/]: {', '.join(failed)}")
        raise typer.Exit(1)


def parts_of(
    *,
    large: bool,
    photos: Path | None,
    workers: int | None,
    repetitions: int,
    seed: int,
    smoke: bool,
) -> list[tuple[str, Callable[..., None], dict[str, object]]]:
    """Return the folder, the command and the options of each part."""
    sizes = "1e6,1e7" if large else "1e6"
    most = "1e7" if large else "1e6"
    shared: dict[str, object] = {"seed": seed, "smoke": smoke}
    served = {"workers": workers, "repetitions": repetitions, **shared}
    return [
        ("hash", hash_images, {"formats": "jpeg", "repetitions": repetitions, **shared}),
        ("hashes", capacity, {"bank_size": sizes, **served}),
        (
            "batches",
            load,
            {
                "call": "batch",
                "items": BATCH,
                "bank_size": most,
                "concurrency": BATCHES_AT_ONCE,
                **served,
            },
        ),
        (
            "images",
            capacity,
            {
                "call": "image",
                "bank_size": FINGERPRINTS,
                "regional": True,
                "photos": photos,
                "concurrency": IMAGES_AT_ONCE,
                "p99_ms": IMAGE_P99_MS,
                "echo": False,
                **served,
            },
        ),
        ("freshness", freshness, {"workers": workers, **shared}),
        ("peers", peers, {"bank_size": PEERS_SIZE, **shared}),
    ]


def goal_rows(folder: Path) -> list[list[object]]:
    """Return a row for each goal whose record is there."""
    rows: list[list[object]] = []
    for goal in GOALS:
        file = folder / goal.folder / f"{goal.benchmark}.json"
        record = read_record(file) if file.exists() else None
        value = _value(record, goal.measure)
        if value is None:
            rows.append([goal.name, None, None, None, "not measured"])
            continue
        reference, name = _value(record, goal.reference[0]), goal.reference[1]
        beside = f"{name}: {shown(reference)}" if reference is not None else None
        bound = goal.goal or (reference or 0.0) / HASH_TIMES_MIN
        met = value >= bound if goal.at_least else value <= bound
        sign = "at least" if goal.at_least else "at most"
        rows.append(
            [
                goal.name,
                f"{sign} {shown(float(bound))} {goal.unit}",
                value,
                beside,
                "met" if met else "missed",
            ]
        )
    return rows


def _value(record: Record | None, name: str) -> float | None:
    """Return the median of the first measure that is called so, or ends so."""
    if record is None or not name:
        return None
    found = [one for one in record.measures if one.name == name or one.name.endswith(f": {name}")]
    return found[0].median if found else None


def _page(folder: Path, names: Sequence[str]) -> str:
    pages = [(name, page) for name in names for page in sorted((folder / name).glob("*.md"))]
    links = "\n".join(f"- [{name}]({page.relative_to(folder)})" for name, page in pages)
    goals = table(["goal", "wanted", "measured", "beside it", ""], goal_rows(folder))
    return f"# imageward, measured\n\n{goals}\nMedians of the repetitions.\n\n{links}\n"
