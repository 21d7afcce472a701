"""Folders with a bank of so many made-up entries, filled once and kept for the next run.

An entry is a random hash, or a whole fingerprint with regional codes like those of
photographs. A run works on a copy whose segments are links to the kept ones, which are
never written to: so a bank of ten million is ready in seconds.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from imageward_bench.made_up import MadeUp
from imageward_bench.photographs import read_folder
from imageward_bench.server_process import ServerProcess
from imageward_index.fingerprint import Fingerprint
from imageward_index.pdq import PdqHash
from imageward_index.policy import Policy
from imageward_server.store import EntrySource, NewEntry, Store
from imageward_server.store.engine import sqlite_url

BANK = "bench"
BATCH = 1024
TIMEOUT_S = 120.0
# After the last addition the sealer may still be at work.
SETTLE_S_MAX = 600.0
SETTLED_S = 2.0
CACHE_ENV = "IMAGEWARD_BENCH_CACHE"
# Counted up when folders of before are no longer what a run needs.
CACHE_VERSION = 3
# Of every hash: no rule for poor pictures applies.
QUALITY = 100
# Keeps the random numbers of regional codes apart from those of the hashes.
_SALT = 11

Codes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Filling:
    """What a bank is filled with.

    Attributes:
        count: entries.
        seed: of all that is made up.
        regional: whether they are whole fingerprints; else hashes alone.
        photos: folder of photographs, of every other one of which regional codes are made
            up; None: those that scikit-image bundles and no benchmark sends.
    """

    count: int
    seed: int
    regional: bool = False
    photos: Path | None = None

    @property
    def name(self) -> str:
        """Of its folder among those that are kept."""
        name = f"bank-{CACHE_VERSION}-{self.count}-{self.seed}"
        if self.regional:
            name += f"-regional-{_name_of(self.photos) if self.photos else 'bundled'}"
        return name


def cache_folder() -> Path:
    """Return the folder where filled banks and peers' environments are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(os.environ.get(CACHE_ENV) or Path(base) / "imageward-bench")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def batch_codes(seed: int, first: int, count: int) -> Codes:
    """Return the hashes from the bank's first'th on, uint8 (count, 32)."""
    return np.random.default_rng([seed, first]).integers(0, 256, (count, 32), np.uint8)


@contextmanager
def copy_of_filled(filling: Filling, console: Console) -> Iterator[Path]:
    """Yield a data folder whose bank is filled so; it is removed afterwards."""
    kept = cache_folder() / filling.name
    if not kept.exists():
        _fill_aside(kept, filling, console)
    with tempfile.TemporaryDirectory(prefix="run-", dir=cache_folder()) as name:
        folder = Path(name) / "data"
        shutil.copytree(kept, folder, copy_function=_link_segments)
        yield folder


def settle(folder: Path) -> None:
    """Wait until the sealer has written nothing new for a while."""
    deadline, seen = time.monotonic() + SETTLE_S_MAX, None
    while time.monotonic() < deadline:
        now = sorted(path.name for path in (folder / "segments").iterdir())
        if now == seen:
            return
        seen = now
        time.sleep(SETTLED_S)


def _fill_aside(kept: Path, filling: Filling, console: Console) -> None:
    """Fill a folder under another name, so that half a bank is never taken for one."""
    with tempfile.TemporaryDirectory(prefix="fill-", dir=cache_folder()) as name:
        folder = Path(name) / "data"
        folder.mkdir()
        _fill_store(folder, filling, console)
        with console.status("building the segments"), ServerProcess(folder):
            settle(folder)
        folder.rename(kept)


def _fill_store(folder: Path, filling: Filling, console: Console) -> None:
    """Write a filling into a store that no server follows meanwhile.

    A server would take half of the machine to index each batch, and is not what is measured.
    """
    made_up = MadeUp(filling.photos) if filling.regional else None
    what = "fingerprints" if filling.regional else "random hashes"
    source = EntrySource.IMAGE if filling.regional else EntrySource.HASH
    store = Store(sqlite_url(folder), vault=None, erase_after_s=0)
    store.open()
    try:
        store.create_bank(BANK, Policy())
        firsts = range(0, filling.count, BATCH)
        for first in track(firsts, f"writing {filling.count:,} {what}", console=console):
            codes = batch_codes(filling.seed, first, min(BATCH, filling.count - first))
            wholes = [PdqHash(code.tobytes(), QUALITY) for code in codes]
            rng = np.random.default_rng([filling.seed, first, _SALT])
            prints = made_up.fingerprints(wholes, rng) if made_up else map(Fingerprint, wholes)
            new = [NewEntry(one, source) for one in prints]
            store.add_entries(BANK, f"fill-{filling.seed}-{first}", new)
    finally:
        store.close()


def _name_of(photos: Path) -> str:
    """Name a folder of photographs by what is in it."""
    return f"{zlib.crc32(b''.join(read_folder(photos))):08x}"


def _link_segments(source: str, target: str) -> None:
    if source.endswith(".segment"):
        os.link(source, target)
    else:
        shutil.copy2(source, target)
