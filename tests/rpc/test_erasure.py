"""Erasure by real servers: of a thousand entries nothing is left of those that were withdrawn.

The whole data folder and what the server said are searched for every hash and every regional
code of the erased entries: as they are, as hexadecimal digits and in every alignment of base64.
"""

from __future__ import annotations

import base64
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from imageward_client import Client, EntryNotFound
from imageward_index.box import WHOLE_IMAGE
from imageward_index.fingerprint import Fingerprint, RegionalPart, round_regional
from imageward_index.grid import WINDOWS, Grid
from imageward_index.manifest import read_manifest
from imageward_index.pdq import PdqHash
from imageward_index.regions import Regions
from imageward_index.segment import Segment
from imageward_server.key_file import make_key_file
from imageward_server.replica import CODE_SEGMENTS, HASH_SEGMENTS
from imageward_server.store.engine import FILE_NAME

if TYPE_CHECKING:
    from conftest import Start

ENTRIES, ERASED, BATCH = 1_000, 250, 250
PATIENCE_S = 120
SEEN_BYTES = 8
SERVER = ("--workers", "2", "--seal-codes", "300", "--erase-after-h", "0", "--erase-every-s", "0.2")


def make_fingerprints(seed: int, count: int = ENTRIES) -> list[Fingerprint]:
    """Make different fingerprints, half of them with up to five regional codes."""
    rng = np.random.default_rng(seed)
    return [
        Fingerprint(PdqHash(rng.bytes(32), 80), make_part(rng, 1 + row % 5) if row % 2 else None)
        for row in range(count)
    ]


def make_part(rng: np.random.Generator, count: int) -> RegionalPart:
    """Make a regional part of so many random codes."""
    codes = rng.integers(0, 1 << 64, count, dtype=np.uint64)
    frames = np.column_stack([*rng.random((2, count)), np.full(count, 0.01), np.zeros(count)])
    smooth = rng.random(WINDOWS) < 0.5
    signs = rng.integers(0, 1 << 16, WINDOWS, dtype=np.uint16)
    return round_regional(
        RegionalPart(WHOLE_IMAGE, Regions(1.0, 0.75, codes, frames), Grid(signs, ~smooth, smooth))
    )


def spellings(code: bytes) -> Iterator[bytes]:
    """Yield how a code may be written: raw, hexadecimal, base64 in each alignment, either way."""
    for ordered in (code, code[::-1]):
        yield ordered
        yield ordered.hex().encode()
        yield ordered.hex().upper().encode()
        for before in range(3):
            # What hangs on the neighbours' bits is left out.
            written = base64.b64encode(bytes(before) + ordered)
            kept = written[4 if before else 0 : len(written) // 4 * 4 - 4]
            yield kept
            yield kept.translate(bytes.maketrans(b"+/", b"-_"))


class Traces:
    """Looks for codes in files, all at once.

    Args:
        fingerprints: whose codes.
    """

    def __init__(self, fingerprints: Iterable[Fingerprint]) -> None:
        codes = [one.whole.code for one in fingerprints]
        codes += [int(c).to_bytes(8, "little") for one in fingerprints for c in one.codes]
        written = {spelling for code in codes for spelling in spellings(code)}
        # Every place of a file is compared with the first eight bytes; the rest, where it fits.
        self._by_start: dict[int, list[bytes]] = {}
        for one in written:
            if len(one) >= SEEN_BYTES:
                start = int.from_bytes(one[:SEEN_BYTES], "little")
                self._by_start.setdefault(start, []).append(one)
        self._starts = np.array(sorted(self._by_start), np.uint64)

    def count(self, data: bytes) -> int:
        """Count the places of the data where a code is written."""
        found = 0
        for shift in range(SEEN_BYTES):
            part = data[shift : shift + (len(data) - shift) // SEEN_BYTES * SEEN_BYTES]
            for at in np.flatnonzero(np.isin(np.frombuffer(part, "<u8"), self._starts)).tolist():
                place = shift + at * SEEN_BYTES
                start = int.from_bytes(data[place : place + SEEN_BYTES], "little")
                found += any(data.startswith(one, place) for one in self._by_start[start])
        return found

    def in_folder(self, folder: Path) -> int:
        """Count the places in all files of a folder."""
        return sum(self.count(path.read_bytes()) for path in folder.rglob("*") if path.is_file())


def test_the_search_finds_what_is_there() -> None:
    """Each spelling of a code, anywhere in a file, counts."""
    one, other = make_fingerprints(7, 2)
    traces = Traces([one])
    code = one.whole.code
    assert traces.count(b"x" * 3 + code + other.whole.code) == 1
    assert traces.count(b"<" + code.hex().encode() + b">") == 1
    for before in range(3):
        assert traces.count(b"=" + base64.b64encode(b"abc"[:before] + code)) == 1
    assert traces.count(other.to_bytes() * 10) == 0


def bank(client: Client, fingerprints: list[Fingerprint]) -> list[str]:
    """Bank all of them; return their ids."""
    client.create_bank("bank")
    ids = []
    for first in range(0, len(fingerprints), BATCH):
        part = [one.to_bytes() for one in fingerprints[first : first + BATCH]]
        results = client.add_entries("bank", fingerprints=part).results
        ids += [one.entry_id for one in results if one.entry_id is not None]
    assert len(ids) == len(fingerprints)
    return ids


def pending(data_dir: Path) -> int:
    """Count the entries that are withdrawn and not erased."""
    database = sqlite3.connect(data_dir / FILE_NAME)
    try:
        (count,) = database.execute("SELECT count(*) FROM erasure").fetchone()
    finally:
        database.close()
    return int(count)


def wait(reached: Callable[[], bool]) -> None:
    """Wait until something is so."""
    end = time.monotonic() + PATIENCE_S
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.05)


def back_up(data_dir: Path, to: Path) -> None:
    """Copy the store while it is served."""
    to.mkdir()
    source, target = sqlite3.connect(data_dir / FILE_NAME), sqlite3.connect(to / FILE_NAME)
    source.backup(target)
    source.close()
    target.close()


def is_sealed(data_dir: Path) -> bool:
    """Whether both kinds of codes have segments."""
    manifests = [read_manifest(data_dir / name) for name in (HASH_SEGMENTS, CODE_SEGMENTS)]
    return all(manifest is not None and manifest.names for manifest in manifests)


def found(client: Client, fingerprints: list[Fingerprint]) -> list[bool]:
    """Ask which of them a check finds."""
    answer = client.check_hashes([one.whole.code for one in fingerprints])
    return [bool(result.entry_ids) for result in answer.results]


@pytest.fixture
def key_flags(tmp_path: Path) -> tuple[str, ...]:
    """Make a master key; return what names it and a folder apart from the data."""
    make_key_file(tmp_path / "master.key")
    named = ("--store-key-file", str(tmp_path / "master.key"))
    return (*named, "--key-dir", str(tmp_path / "keys"))


@pytest.mark.parametrize("encrypted", [True, False])
def test_nothing_is_left_of_a_thousand_entries_erased_ones(
    start: Start,
    key_flags: tuple[str, ...],
    tmp_path: Path,
    encrypted: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """In the store, its log, segments and what was said; if it was encrypted, in a backup too.

    A backup in clear cannot be reached, and comes back with them.
    """
    fingerprints = make_fingerprints(1)
    erased, kept = fingerprints[:ERASED], fingerprints[ERASED:]
    gone, all_of_them = Traces(erased), Traces(fingerprints)
    keys = key_flags if encrypted else ()
    server = start(*SERVER, *keys)
    ids = bank(server.client, fingerprints)
    wait(lambda: is_sealed(server.data_dir))
    back_up(server.data_dir, tmp_path / "backup")
    before = all_of_them.in_folder(server.data_dir)
    assert before == 0 if encrypted else before > ENTRIES
    server.client.withdraw_entries(ids[:ERASED])
    wait(lambda: pending(server.data_dir) == 0)
    assert gone.in_folder(server.data_dir) == 0
    for name in (HASH_SEGMENTS, CODE_SEGMENTS):
        no_longer_named(server.data_dir / name, ids[:ERASED], encrypted=encrypted)
    assert found(server.client, fingerprints) == [False] * len(erased) + [True] * len(kept)
    with pytest.raises(EntryNotFound, match="erased"):
        server.client.restore_entries(ids[:1])
    assert server.client.get_entry(ids[0]).hash is None
    listed = list(server.client.list_entries("bank"))
    assert [entry.hash is None for entry in listed] == [True] * len(erased) + [False] * len(kept)
    assert ("NOT ENCRYPTED" in server.said()) is not encrypted
    code, said = server.end(signal.SIGTERM)
    assert code == 0
    assert gone.count(said.encode()) == 0
    assert gone.in_folder(server.data_dir) == 0
    in_backup = gone.in_folder(tmp_path / "backup")
    assert in_backup == 0 if encrypted else in_backup > 0
    shutil.copy(server.data_dir / "audit.key", tmp_path / "backup")
    restored = start("--workers", "1", *keys, "--data-dir", str(tmp_path / "backup"))
    expected = [not encrypted] * len(erased) + [True] * len(kept)
    assert found(restored.client, fingerprints) == expected


def no_longer_named(folder: Path, ids: list[str], *, encrypted: bool) -> None:
    """Make sure that no segment in clear has any of the ids; those of others have a new format."""
    manifest = read_manifest(folder)
    assert manifest is not None
    numbers = np.array([int(one, 16) for one in ids])
    for name in manifest.names:
        if encrypted:
            assert (folder / name).read_bytes()[8] == 2
        else:
            assert not Segment.open(folder / name).contains(numbers).any()
    assert {path.name for path in folder.glob("*.segment")} == set(manifest.names)


def test_a_server_killed_while_it_erases_loses_and_brings_back_nothing(
    start: Start, key_flags: tuple[str, ...]
) -> None:
    """At three random moments: what was withdrawn is gone in the end, what was not is there."""
    rng = random.Random(11)
    fingerprints = make_fingerprints(3, 600)
    erased = 0
    server = start(*SERVER, *key_flags)
    ids = bank(server.client, fingerprints)
    for _ in range(3):
        server.client.withdraw_entries(ids[erased : erased + 40])
        erased += 40
        time.sleep(rng.random() * 0.6)  # the moment is the point
        for pid in server.worker_pids():
            subprocess.run(["kill", "-KILL", str(pid)], check=False)
        server.end(signal.SIGKILL)
        server = start(*SERVER, *key_flags)
        expected = [False] * erased + [True] * (600 - erased)
        assert found(server.client, fingerprints) == expected
    wait(lambda: pending(server.data_dir) == 0)
    assert found(server.client, fingerprints) == expected
    server.end(signal.SIGTERM)
    assert Traces(fingerprints).in_folder(server.data_dir) == 0


def test_a_server_without_the_right_key_does_not_start(
    start: Start, key_flags: tuple[str, ...], tmp_path: Path
) -> None:
    """It ends with 1, says what to do, and leaves the store as it was."""
    server = start("--workers", "1", *key_flags)
    bank(server.client, make_fingerprints(4, 10))
    server.end(signal.SIGTERM)
    make_key_file(tmp_path / "other.key")
    wrong = ("--store-key-file", str(tmp_path / "other.key"), *key_flags[2:])
    store = (server.data_dir / FILE_NAME).read_bytes()
    command = [
        sys.executable,
        "-m",
        "imageward_server",
        "serve",
        "--insecure",
        "--listen",
        "127.0.0.1:0",
    ]
    command += ["--data-dir", str(server.data_dir)]
    for flags, said in (((), "no key is given"), (wrong, "does not open")):
        ended = subprocess.run(
            [*command, *flags], capture_output=True, text=True, timeout=100, check=False
        )
        assert (ended.returncode, said in ended.stderr) == (1, True)
        assert (server.data_dir / FILE_NAME).read_bytes() == store
