"""Encrypted segments: the same answers, nothing in clear on the disk, one copy in memory."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from imageward_index.block import Block
from imageward_index.errors import SegmentCorrupt, SegmentIncompatible
from imageward_index.index import Index
from imageward_index.manifest import Origin, read_manifest
from imageward_index.merge import merge_apart
from imageward_index.sealed_file import BLOCK_BYTES
from imageward_index.sealer import Sealer
from imageward_index.segment import Segment
from imageward_index.segment_writer import Stamp, write_segment

STAMP = Stamp("test-1", 0, 9)
ORIGIN = Origin("store", "test-1", 256)
SEAL_CODES = 50

# Opens a segment with a key, tells the inode of the copy that it maps, and waits.
OPENER = """
import pathlib, re, sys
from imageward_index.segment import Segment

class Keys:
    def find(self, name):
        return bytes.fromhex(sys.argv[2])

segment = Segment.open(pathlib.Path(sys.argv[1]), keys=Keys())
maps = pathlib.Path("/proc/self/maps").read_text()
print(*set(re.findall(r"(\\d+) +/memfd:imageward-", maps)), flush=True)
sys.stdin.read()
"""


class MemoryKeys:
    """Keys in a dictionary."""

    def __init__(self) -> None:
        self.keys: dict[str, bytes] = {}

    def make(self, name: str) -> bytes:
        """Make a key."""
        self.keys[name] = secrets.token_bytes(32)
        return self.keys[name]

    def find(self, name: str) -> bytes | None:
        """Return a key."""
        return self.keys.get(name)

    def keep(self, names: Collection[str]) -> None:
        """Forget all other keys."""
        self.keys = {name: key for name, key in self.keys.items() if name in names}


def make_block(count: int, seed: int = 0, first_id: int = 1) -> Block:
    """Make random hashes under ids in a row, an attachment with each."""
    codes = np.random.default_rng(seed).integers(0, 256, (count, 32), dtype=np.uint8)
    ids = np.arange(first_id, first_id + count)
    return Block(ids, codes, {int(one): b"kept with %d" % one for one in ids})


def plain(block: Block) -> Block:
    """Leave the attachments out."""
    return Block(block.ids, block.codes)


def find_all(segment: Segment, codes: NDArray[np.uint8]) -> list[int]:
    """Search for codes and return the ids that are found."""
    return segment.search(codes, np.zeros(len(codes), np.int64)).ids.tolist()


def copies() -> set[str]:
    """Tell the inodes of the decrypted copies that this process maps."""
    maps = Path("/proc/self/maps").read_text()
    return set(re.findall(r"(\d+) +/memfd:imageward-", maps))


def test_an_encrypted_segment_answers_as_one_in_clear(tmp_path: Path) -> None:
    """Codes and attachments come back, and neither stands in the file."""
    block, keys = make_block(3_000), MemoryKeys()
    write_segment(tmp_path / "clear", [block], stamp=STAMP)
    write_segment(tmp_path / "sealed", [block], stamp=STAMP, keys=keys)
    clear = Segment.open(tmp_path / "clear")
    sealed = Segment.open(tmp_path / "sealed", "test-1", keys)
    assert find_all(sealed, block.codes) == find_all(clear, block.codes) == block.ids.tolist()
    assert sealed.attachment(None, 7) == b"kept with 7"
    assert b"kept with 7" in (tmp_path / "clear").read_bytes()
    assert b"kept with" not in (tmp_path / "sealed").read_bytes()
    stored = clear._arrays["codes"].tobytes()[:8]
    assert stored in (tmp_path / "clear").read_bytes()
    assert stored not in (tmp_path / "sealed").read_bytes()


@pytest.mark.parametrize("at", [30, BLOCK_BYTES, BLOCK_BYTES + 70_000, -16, -1])
def test_a_changed_byte_is_noticed(tmp_path: Path, at: int) -> None:
    """A flip in the header, the arrays or the tag is refused, whichever byte it is."""
    keys, path = MemoryKeys(), tmp_path / "sealed"
    write_segment(path, [make_block(3_000)], stamp=STAMP, keys=keys)
    spoiled = bytearray(path.read_bytes())
    spoiled[at] ^= 1
    path.write_bytes(spoiled)
    with pytest.raises(SegmentCorrupt):
        Segment.open(path, keys=keys)


def test_keys_and_files_must_fit(tmp_path: Path) -> None:
    """Without its key, with another, or in clear where keys are: a segment is not served."""
    keys, path = MemoryKeys(), tmp_path / "sealed"
    write_segment(path, [make_block(100)], stamp=STAMP, keys=keys)
    write_segment(tmp_path / "clear", [make_block(100)], stamp=STAMP)
    with pytest.raises(SegmentIncompatible, match="format 2 where 1 is read"):
        Segment.open(path)
    with pytest.raises(SegmentIncompatible, match="no key"):
        Segment.open(path, keys=MemoryKeys())
    with pytest.raises(SegmentIncompatible, match="no key"):
        Segment.open(tmp_path / "clear", keys=keys)
    keys.make("clear")
    with pytest.raises(SegmentIncompatible, match="format 1 where 2 is read"):
        Segment.open(tmp_path / "clear", keys=keys)
    keys.make("sealed")
    with pytest.raises(SegmentCorrupt, match="or its key is another"):
        Segment.open(path, keys=keys)


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="copies are shared on Linux alone")
def test_processes_share_one_decrypted_copy(tmp_path: Path) -> None:
    """Two processes map the same memory; it stays while one has it, and goes with the last."""
    keys, path = MemoryKeys(), tmp_path / "sealed"
    write_segment(path, [make_block(1_000)], stamp=STAMP, keys=keys)
    before = copies()
    command = [sys.executable, "-c", OPENER, str(path), keys.keys["sealed"].hex()]
    first = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert first.stdout is not None
    inode = first.stdout.readline().strip()
    segment = Segment.open(path, keys=keys)
    assert copies() - before == {inode}
    first.communicate(timeout=60)
    assert (
        subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout.strip()
        == inode
    )
    del segment
    assert copies() == before


def test_a_merge_apart_is_handed_the_keys(tmp_path: Path) -> None:
    """Another process opens the sources with their keys and seals with the new one's."""
    keys = MemoryKeys()
    index = Index(256)
    sealer = Sealer(index, tmp_path, ORIGIN, SEAL_CODES, keys=keys)
    assert sealer.try_lock()
    for part in range(2):
        index.add(*plain(make_block(60, part, 1 + 100 * part)))
        index.applied(part + 1)
        sealer.seal()
    manifest = read_manifest(tmp_path)
    assert manifest is not None
    merge_apart(tmp_path, "merged.segment", manifest.names, keys)
    merged = Segment.open(tmp_path / "merged.segment", keys=keys)
    assert find_all(merged, make_block(60, 1).codes) == list(range(101, 161))
    sealer.close()


def test_an_erasure_writes_anew_what_has_the_ids_and_nothing_else(tmp_path: Path) -> None:
    """No named segment has an erased id, dead or alive; the key of the one before is gone."""
    keys, index = MemoryKeys(), Index(256)
    sealer = Sealer(index, tmp_path, ORIGIN, SEAL_CODES, keys=keys)
    # So far apart in size that they are not merged by themselves.
    for number, count in enumerate((1_000, 60), 1):
        index.add(*plain(make_block(count, number, 10_000 * number)))
        index.applied(number)
        assert sealer.step()
    large, small = (live.segment.path.name for live in index.view.segments)
    erased = np.array([20_003, 20_007])
    index.withdraw([20_003, 20_005, 20_007])
    index.applied(3)
    assert not sealer.step()
    done = sealer.erase(erased)
    assert not done.is_set()
    assert sealer.step()
    assert done.is_set()
    names = [live.segment.path.name for live in index.view.segments]
    assert large in names
    assert small not in names
    assert not (tmp_path / small).exists()
    assert keys.keys.keys() == set(names)
    assert not any(live.segment.contains(erased).any() for live in index.view.segments)
    assert len(index) == 1_057
    sealer.close()


def test_one_process_seals_both_folders(tmp_path: Path) -> None:
    """A sealer that is after another seals only where that one does."""
    sealers = []
    for _ in range(2):
        first = Sealer(Index(256), tmp_path / "one", ORIGIN)
        sealers.append((first, Sealer(Index(256), tmp_path / "two", ORIGIN, after=first)))
    (first, after), (other, other_after) = sealers
    assert first.try_lock()
    assert not other_after.try_lock()
    assert after.try_lock()
    for sealer in (after, first):
        sealer.close()
    assert other_after.try_lock()
    for sealer in (other_after, other):
        sealer.close()


def test_a_segment_that_is_all_erased_leaves_nothing(tmp_path: Path) -> None:
    """The file goes with its key, and the index is empty."""
    keys, index = MemoryKeys(), Index(256)
    sealer = Sealer(index, tmp_path, ORIGIN, SEAL_CODES, keys=keys)
    index.add(*plain(make_block(60)))
    index.applied(1)
    assert sealer.step()
    index.withdraw(np.arange(1, 61))
    sealer.erase(np.arange(1, 61))
    assert sealer.step()
    assert (index.view.segments, keys.keys, list(tmp_path.glob("*.segment"))) == ((), {}, [])
    sealer.close()
