"""What is kept with ids: there while the id lives, wherever its codes lie, and gone after."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from imageward_index.block import ATTACHMENT_BYTES_MAX, Block
from imageward_index.errors import InvalidBatch, InvalidHash, SegmentCorrupt, SegmentIncompatible
from imageward_index.index import Index
from imageward_index.manifest import Origin
from imageward_index.sealed_file import ArrayShape, open_sealed, sealing
from imageward_index.sealer import Sealer
from imageward_index.segment import Segment
from imageward_index.segment_writer import Stamp, write_segment
from imageward_index.slices import Plan

GOLDEN = Path(__file__).parents[1] / "golden" / "v1" / "segment_64_attachments.sealed"
ORIGIN = Origin("store", "test-1", 64)
STAMP = Stamp("golden-1", 3, 9)
CODES_EACH = 3
SEED = 31
SECRET = b"what is kept of the picture number %d"


def block_of(first: int, count: int) -> Block:
    """Make a block of ids in a row, three codes and one attachment each."""
    rng = np.random.default_rng(SEED + first)
    ids = np.arange(first, first + count)
    codes = rng.integers(0, 256, (count * CODES_EACH, 8), np.uint8)
    return Block(np.repeat(ids, CODES_EACH), codes, {i: SECRET % i for i in ids.tolist()})


def sealed_index(folder: Path) -> tuple[Index, Sealer]:
    """Make an index with attachments that seals when it is told to."""
    index = Index(64, attachments=True)
    return index, Sealer(index, folder, ORIGIN)


def attachments(index: Index, ids: range) -> list[bytes | None]:
    """Ask for the attachment of each id."""
    return [index.attachment(entry_id) for entry_id in ids]


def bytes_in(folder: Path) -> bytes:
    """Read every file of a folder."""
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()))


def test_an_attachment_goes_where_its_codes_go(tmp_path: Path) -> None:
    """From a tail, frozen tail, segment, merged segment, reopened one: always the same bytes."""
    index, sealer = sealed_index(tmp_path)
    expected = [SECRET % i for i in range(30)]
    sealer.build([block_of(0, 10), block_of(10, 10)], 1)
    index.add(*block_of(20, 10))
    assert attachments(index, range(30)) == expected
    index.freeze()
    assert attachments(index, range(30)) == expected
    sealer.seal()
    assert attachments(index, range(30)) == expected
    sealer.compact()
    assert attachments(index, range(30)) == expected
    sealer.close()
    again, opening = sealed_index(tmp_path)
    assert opening.open()
    assert attachments(again, range(30)) == expected
    opening.close()


def test_who_is_not_live_has_none(tmp_path: Path) -> None:
    """Unknown, impossible and withdrawn ids have no attachment; one that came back has."""
    index, sealer = sealed_index(tmp_path)
    sealer.build([], 0)
    index.add(*block_of(0, 10))
    sealer.seal()
    index.add(*block_of(10, 10))
    index.withdraw([3, 13])
    assert [index.attachment(i) for i in (3, 13, 20, -1, 1 << 63)] == [None] * 5
    index.add(*block_of(3, 1))
    assert index.attachment(3) == SECRET % 3
    sealer.close()


@pytest.mark.parametrize(
    ("kept", "refusal"),
    [
        (None, "no attachment"),
        ({}, "no attachment"),
        ({1: b"one"}, "no attachment"),
        ({1: b"", 2: bytes(ATTACHMENT_BYTES_MAX + 1)}, "has 4097 bytes; send 4096"),
    ],
)
def test_a_block_without_its_attachments_is_refused(
    kept: Mapping[int, bytes] | None, refusal: str, tmp_path: Path
) -> None:
    """A missing or too long one refuses the batch as a whole, added or built."""
    index, sealer = sealed_index(tmp_path)
    block = Block(np.array([1, 2]), np.zeros((2, 8), np.uint8), kept)
    with pytest.raises(InvalidBatch, match=refusal):
        index.add(*block)
    with pytest.raises(InvalidBatch, match=refusal):
        sealer.build([block], 1)
    assert (len(index), index.attachment(1)) == (0, None)
    sealer.close()


def test_the_longest_and_the_empty_are_kept() -> None:
    """The bound is inclusive, nothing is something, and those of other ids do not matter."""
    index = Index(64, attachments=True)
    kept = {1: b"", 2: bytes(ATTACHMENT_BYTES_MAX), 9: b"of another"}
    index.add([1, 2], np.zeros((2, 8), np.uint8), kept)
    assert [index.attachment(i) for i in (1, 2, 9)] == [b"", bytes(ATTACHMENT_BYTES_MAX), None]


def test_an_index_without_attachments_takes_none() -> None:
    """What nobody would ever be given back is refused, not dropped."""
    index = Index()
    with pytest.raises(InvalidBatch, match="keeps none"):
        index.add([1], np.zeros((1, 32), np.uint8), {1: b"one"})
    index.add([1], np.zeros((1, 32), np.uint8))
    assert index.attachment(1) is None


def test_a_built_block_is_checked_as_an_added_one(tmp_path: Path) -> None:
    """A store's codes of another width never reach a file."""
    _, sealer = sealed_index(tmp_path)
    with pytest.raises(InvalidHash):
        sealer.build([Block(np.arange(1), np.zeros((1, 32), np.uint8), {0: b""})], 1)
    sealer.close()


@pytest.mark.parametrize("where", ["here", "apart"])
def test_what_was_withdrawn_is_in_no_file_after_a_merge(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bytes are in a file before and in none after; those of live ids are."""
    if where == "apart":
        monkeypatch.setattr("imageward_index.sealer.MERGE_APART_CODES", 1)
    index, sealer = sealed_index(tmp_path)
    sealer.build([], 0)
    index.add(*block_of(100, 50))
    sealer.seal()
    index.add(*block_of(150, 50))
    sealer.seal()
    index.withdraw([120, 160])
    assert SECRET % 120 in bytes_in(tmp_path)
    sealer.compact()
    held = bytes_in(tmp_path)
    assert [SECRET % i in held for i in (120, 160, 121, 161)] == [False, False, True, True]
    assert index.attachment(121) == SECRET % 121
    sealer.close()


_READING = """
import pathlib, sys
from imageward_index.index import Index
from imageward_index.manifest import Origin
from imageward_index.sealer import Sealer
index = Index(64, attachments=True)
assert Sealer(index, pathlib.Path(sys.argv[1]), Origin("store", "test-1", 64)).open()
for entry_id in sys.argv[2:]:
    print(index.attachment(int(entry_id)))
"""


def test_another_process_maps_the_same_attachments(tmp_path: Path) -> None:
    """A process that shares nothing but the folder reads them, the withdrawn one not."""
    index, sealer = sealed_index(tmp_path)
    sealer.build([], 0)
    index.add(*block_of(0, 10))
    sealer.seal()
    index.withdraw([4])
    sealer._publish(sealer._names())
    command = [sys.executable, "-c", _READING, str(tmp_path), "3", "4", "11"]
    read = subprocess.run(command, capture_output=True, text=True, check=True)
    assert read.stdout.splitlines() == [str(SECRET % 3), "None", "None"]
    sealer.close()


def test_a_follower_keeps_attachments_that_no_segment_has(tmp_path: Path) -> None:
    """What it took after the sealed revision stays in its tail, with what is kept."""
    (first, sealing_one), (second, following) = sealed_index(tmp_path), sealed_index(tmp_path)
    sealing_one.build([], 0)
    for index in (first, second):
        index.add(*block_of(0, 10))
        index.applied(1)
    sealing_one.seal()
    second.add(*block_of(10, 10))
    assert following.step()
    assert (len(second.view.segments), len(second.view.frozen)) == (1, 1)
    assert attachments(second, range(20)) == [SECRET % i for i in range(20)]
    sealing_one.close()
    following.close()


def test_what_a_search_finds_has_its_attachment_meanwhile(tmp_path: Path) -> None:
    """Beside adds, withdrawals, seals and merges, live ids are never without."""
    index, sealer = sealed_index(tmp_path)
    sealer.build([], 0)
    kept = block_of(0, 20)
    index.add(*kept)
    stop, wrong = threading.Event(), list[str]()

    def ask() -> None:
        while not stop.is_set():
            found = index.search(kept.codes, 0).ids
            lost = [i for i in found.tolist() if i < 20 and index.attachment(i) != SECRET % i]
            wrong.extend(map(str, lost))

    asking = threading.Thread(target=ask)
    asking.start()
    for turn in range(1, 30):
        index.add(*block_of(turn * 100, 20))
        index.withdraw(np.arange(turn * 100, turn * 100 + 10))
        sealer.seal()
        if turn % 5 == 0:
            sealer.compact()
    stop.set()
    asking.join()
    assert wrong == []
    sealer.close()


def test_a_folder_of_the_other_kind_is_refused(tmp_path: Path) -> None:
    """Segments without attachments do not serve an index that keeps them, nor the reverse."""
    plain = Index(64)
    sealer = Sealer(plain, tmp_path, ORIGIN)
    sealer.build([], 0)
    plain.add(*block_of(0, 10)[:2])
    sealer.seal()
    sealer.close()
    _, other = sealed_index(tmp_path)
    with pytest.raises(SegmentIncompatible, match="attachments"):
        other.open()
    other.close()


def write(path: Path) -> Block:
    """Seal a block in a mixed order under a small plan."""
    block = block_of((1 << 47) + 5, 40)
    turned = Block(block.ids[::-1].copy(), block.codes[::-1].copy(), block.attachments)
    write_segment(path, [turned], stamp=STAMP, plan=Plan(64, 4, 8))
    return turned


def test_the_golden_file_is_read_and_written(tmp_path: Path) -> None:
    """A committed file with attachments opens, and is written again bit for bit."""
    block = write(tmp_path / "again")
    assert GOLDEN.read_bytes() == (tmp_path / "again").read_bytes()
    assert dict(Segment.open(GOLDEN).attachments or {}) == block.attachments


def change_firsts(tmp_path: Path, firsts: NDArray[np.uint64]) -> Path:
    """Write a whole file whose attachments begin elsewhere."""
    write(tmp_path / "segment")
    header, arrays = open_sealed(tmp_path / "segment")
    arrays["attachment_firsts"] = firsts
    shapes = {name: ArrayShape(array.dtype.str, len(array)) for name, array in arrays.items()}
    with sealing(tmp_path / "changed", shapes) as draft:
        draft.header = header
        for name, array in arrays.items():
            draft.arrays[name][:] = array
    return tmp_path / "changed"


@pytest.mark.parametrize("damage", ["shorter", "falling", "beyond", "late"])
def test_misfitting_attachments_are_refused(damage: str, tmp_path: Path) -> None:
    """A whole file whose attachments do not fit its ids or bytes is refused."""
    write(tmp_path / "segment")
    firsts = np.array(open_sealed(tmp_path / "segment")[1]["attachment_firsts"])
    match damage:
        case "shorter":
            firsts = firsts[:-1]
        case "falling":
            firsts[5] += np.uint64(100)
        case "beyond":
            firsts[-1] += np.uint64(1)
        case _:
            firsts[0] += np.uint64(1)
    with pytest.raises(SegmentCorrupt, match="do not fit"):
        Segment.open(change_firsts(tmp_path, firsts))


def test_a_segment_without_every_attachment_is_not_written(tmp_path: Path) -> None:
    """Neither where a block lacks all nor where it lacks one."""
    block = block_of(0, 2)
    for lacking in (None, {0: b""}):
        blocks = [block_of(5, 2), Block(block.ids, block.codes, lacking)]
        with pytest.raises(ValueError, match="no attachment"):
            write_segment(tmp_path / "segment", blocks, stamp=STAMP)
    assert list(tmp_path.iterdir()) == []
