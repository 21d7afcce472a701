"""`imageward-server segments`: looks at sealed segments, checks them, merges them.

What loads the index is imported where it is used: `imageward-server serve` loads this
module too, and becomes the supervisor, which shall be light.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from imageward_index.errors import ImagewardError, SegmentUnusable
from imageward_server.config import Config, InvalidConfig, load

if TYPE_CHECKING:
    from imageward_index.manifest import Manifest
    from imageward_index.segment import Segment
    from imageward_index.segment_keys import SegmentKeys

EXIT_FAILED = 1

app = typer.Typer(
    no_args_is_help=True,
    help="Looks at the index's sealed segments, checks them, merges them.",
    epilog="Exit codes: 0 fine, 1 a segment is unusable or the folder is in use, 2 wrong usage.",
)

DataDir = Annotated[
    Path, typer.Option(help="Data folder of the server.", exists=True, file_okay=False)
]
StoreKeyFile = Annotated[
    Path | None, typer.Option(help="File of the store's key, if it is encrypted.")
]
KeyDir = Annotated[Path | None, typer.Option(help="Folder of the entries' keys.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_segments(
    data_dir: DataDir = Path("imageward-data"),
    as_json: AsJson = False,
    store_key_file: StoreKeyFile = None,
    key_dir: KeyDir = None,
) -> None:
    """Show what the manifests name: codes, withdrawn ones, bytes, cut, revision."""
    keys_of = _keys(_config(data_dir, store_key_file, key_dir))
    rows = [_describe(_open(path, keys_of), withdrawn) for path, withdrawn in _named(data_dir)]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    table = Table(
        "folder", "segment", "codes", "withdrawn", "bytes a code", "slices", "up to revision"
    )
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    Console().print(table)


@app.command()
def verify(
    data_dir: DataDir = Path("imageward-data"),
    store_key_file: StoreKeyFile = None,
    key_dir: KeyDir = None,
) -> None:
    """Read every byte of every named segment and compare its checksums."""
    keys_of = _keys(_config(data_dir, store_key_file, key_dir))
    for path, _ in _named(data_dir):
        _open(path, keys_of)
        typer.echo(f"{path.relative_to(data_dir)}: whole")


@app.command()
def compact(
    data_dir: DataDir = Path("imageward-data"),
    store_key_file: StoreKeyFile = None,
    key_dir: KeyDir = None,
) -> None:
    """Merge each folder's segments into one without withdrawn codes. Stop the server first."""
    from imageward_server.app import open_store  # noqa: PLC0415 - see above
    from imageward_server.replica import Replica  # noqa: PLC0415 - see above

    config = _config(data_dir, store_key_file, key_dir)
    try:
        store = open_store(config)
    except (ImagewardError, InvalidConfig, OSError) as error:
        _fail(str(error))
    replica = Replica(store, data_dir, config.feed_poll_s)
    try:
        if not all(sealer.try_lock() for sealer in replica.sealers):
            _fail("a server has the folders in use; stop it first, or let it merge by itself")
        replica.load(_silent)
        for sealer in replica.sealers:
            sealer.compact()
        typer.echo(f"{len(replica.hashes):,} hashes and {len(replica.codes):,} regional codes")
    finally:
        replica.stop()
        store.close()


def _named(data_dir: Path) -> list[tuple[Path, int]]:
    """List the segments that manifests name, with how many of their ids are withdrawn."""
    from imageward_server.replica import CODE_SEGMENTS, HASH_SEGMENTS  # noqa: PLC0415 - see above

    folders = [data_dir / name for name in (HASH_SEGMENTS, CODE_SEGMENTS)]
    manifests = {folder: _manifest(folder) for folder in folders}
    if not any(manifests.values()):
        _fail(f"{data_dir} has no segments; a server seals once it has enough entries")
    return [
        (folder / name, len(ids))
        for folder, manifest in manifests.items()
        if manifest is not None
        for name, ids in zip(manifest.names, manifest.dead_ids, strict=True)
    ]


def _manifest(folder: Path) -> Manifest | None:
    from imageward_index.manifest import read_manifest  # noqa: PLC0415 - see above

    try:
        return read_manifest(folder)
    except SegmentUnusable as error:
        _refuse(error)


def _config(data_dir: Path, store_key_file: Path | None, key_dir: Path | None) -> Config:
    flags = {"data_dir": data_dir, "store_key_file": store_key_file, "key_dir": key_dir}
    try:
        return load(flags).config
    except InvalidConfig as error:
        _fail(str(error))


def _keys(config: Config) -> Callable[[str], SegmentKeys | None]:
    """Return what finds the keys of a folder of segments by its name."""
    from imageward_server.keys.vault import find_vault  # noqa: PLC0415 - see above

    try:
        vault = find_vault(config)
        if vault is None:
            return lambda _: None
        store_id = vault.store_id()
        vault.check(store_id)
    except (ImagewardError, InvalidConfig) as error:
        _fail(str(error))
    return lambda folder_name: vault.segment_keys(store_id, folder_name)


def _describe(segment: Segment, withdrawn: int) -> dict[str, Any]:
    path = segment.path
    return {
        "folder": path.parent.name,
        "segment": path.name,
        "codes": len(segment),
        "withdrawn": withdrawn,
        "bytes_a_code": round(segment.file_bytes / max(len(segment), 1), 1),
        "slices": f"{segment.plan.slices} x {segment.plan.slice_bits} bits",
        "revision": segment.stamp.revision_last,
    }


def _open(path: Path, keys_of: Callable[[str], SegmentKeys | None]) -> Segment:
    from imageward_index.segment import Segment  # noqa: PLC0415 - see above

    try:
        return Segment.open(path, keys=keys_of(path.parent.name))
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
