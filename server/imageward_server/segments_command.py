"""`imageward-server segments`: looks at sealed segments, checks them, merges them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from imageward_index.errors import SegmentUnusable
from imageward_index.manifest import Manifest, read_manifest
from imageward_index.segment import Segment
from imageward_server.app import SEGMENTS_FOLDER, open_store
from imageward_server.config import load
from imageward_server.replica import Replica

EXIT_FAILED = 1

app = typer.Typer(
    no_args_is_help=True,
    help="Looks at the index's sealed segments, checks them, merges them.",
    epilog="Exit codes: 0 fine, 1 a segment is unusable or the folder is in use, 2 wrong usage.",
)

DataDir = Annotated[
    Path, typer.Option(help="Data folder of the server.", exists=True, file_okay=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_segments(data_dir: DataDir = Path("imageward-data"), as_json: AsJson = False) -> None:
    """Show what the manifest names: codes, withdrawn ones, bytes, cut, revision."""
    folder = data_dir / SEGMENTS_FOLDER
    rows = [_describe(folder, named) for named in _named(_manifest(folder))]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    table = Table("segment", "codes", "withdrawn", "bytes a code", "slices", "up to revision")
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    Console().print(table)


@app.command()
def verify(data_dir: DataDir = Path("imageward-data")) -> None:
    """Read every byte of every named segment and compare its checksums."""
    folder = data_dir / SEGMENTS_FOLDER
    for name, _ in _named(_manifest(folder)):
        _open(folder / name)
        typer.echo(f"{name}: whole")


@app.command()
def compact(data_dir: DataDir = Path("imageward-data")) -> None:
    """Merge all segments into one without withdrawn codes. The server must be stopped."""
    config = load({"data_dir": data_dir}).config
    store = open_store(config)
    replica = Replica(store, data_dir / SEGMENTS_FOLDER, config.feed_poll_s)
    try:
        if not replica.sealer.try_lock():
            _fail("a server has the folder in use; stop it first, or let it merge by itself")
        replica.load(_silent)
        replica.sealer.compact()
        typer.echo(f"{len(replica.index):,} codes in {len(replica.index.view.segments)} segment")
    finally:
        replica.stop()
        store.close()


def _manifest(folder: Path) -> Manifest:
    try:
        manifest = read_manifest(folder)
    except SegmentUnusable as error:
        _refuse(error)
    if manifest is None:
        _fail(f"{folder} has no segments; a server seals once it has enough entries")
    return manifest


def _named(manifest: Manifest) -> list[tuple[str, int]]:
    """List the segments of a manifest with how many of their ids are withdrawn."""
    return [(name, len(ids)) for name, ids in zip(manifest.names, manifest.dead_ids, strict=True)]


def _describe(folder: Path, named: tuple[str, int]) -> dict[str, Any]:
    name, withdrawn = named
    segment = _open(folder / name)
    return {
        "segment": name,
        "codes": len(segment),
        "withdrawn": withdrawn,
        "bytes_a_code": round(segment.file_bytes / max(len(segment), 1), 1),
        "slices": f"{segment.plan.slices} x {segment.plan.slice_bits} bits",
        "revision": segment.stamp.revision_last,
    }


def _open(path: Path) -> Segment:
    try:
        return Segment.open(path)
    except SegmentUnusable as error:
        _refuse(error)
    except FileNotFoundError:
        _fail(f"{path} is named by the manifest and is not there; start the server to rebuild it")


def _refuse(error: SegmentUnusable) -> NoReturn:
    _fail(f"{error.path}: {error} {error.hint}")


def _fail(message: str) -> NoReturn:
    typer.echo(f"imageward-server: {message}", err=True)
    raise typer.Exit(EXIT_FAILED)


def _silent(_doing: str, _done: int, _in_all: int) -> None:
    """Say nothing: the command ends with one line."""
