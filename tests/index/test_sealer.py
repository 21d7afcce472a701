"""The index with its folder: sealed, merged, restarted, shared, crashed, and always exact."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from numpy.typing import ArrayLike, NDArray

from imageward_index.block import Block
from imageward_index.errors import SegmentCorrupt, SegmentIncompatible
from imageward_index.index import Index
from imageward_index.manifest import FILE_NAME, Origin, read_manifest
from imageward_index.merge_choice import MERGED_CODES_MAX
from imageward_index.sealer import LOCK_NAME, SEGMENT_SUFFIX, Sealer
from imageward_index.segment import Segment

# Every kept byte string of these tests begins so, and no file has it by chance.
MARK = b"<kept with an id>"

SEAL_CODES = 40
RADIUS_MAX = {256: 63, 64: 8}
Codes = NDArray[np.uint8]
MakeSealed = Callable[..., tuple[Index, Sealer]]


def origin_of(width_bits: int, store_id: str = "store") -> Origin:
    """Name where codes of a width come from."""
    return Origin(store_id, "test-1", width_bits)


def random_codes(seed: int, count: int, width_bits: int = 256) -> Codes:
    """Make codes of which every third is the same and every third is near that."""
    generator = np.random.default_rng(seed)
    codes = generator.integers(0, 256, (count, width_bits // 8), np.uint8)
    codes[::3] = codes[:1]
    codes[1::3] = codes[:1]
    codes[1::3, 0] ^= generator.integers(0, 256, len(codes[1::3]), np.uint8)
    return codes


def attachment_of(entry_id: int) -> bytes:
    """Make what is kept with an id: marked, of the id alone, of one byte to hundreds."""
    return MARK + b"%d;" % entry_id * (entry_id * 37 % 101)


def counted(
    queries: Codes, ids: NDArray[np.int64], codes: Codes, radii: NDArray[np.int64]
) -> object:
    """Find matches by counting bits: query, distance, id, ordinal, in that order."""
    ordinals = np.array([np.count_nonzero(ids[:row] == ids[row]) for row in range(len(ids))])
    distances = np.bitwise_count(queries[:, None] ^ codes[None]).sum(axis=2, dtype=np.int64)
    rows, columns = np.nonzero(distances <= radii[:, None])
    found = zip(rows, distances[rows, columns], ids[columns], ordinals[columns], strict=True)
    return sorted(tuple(map(int, one)) for one in found)


def found_in(index: Index, queries: Codes, radii: NDArray[np.int64]) -> object:
    """Search, and return the matches as `counted` does."""
    found = index.search(queries, radii)
    columns = (found.queries, found.distances, found.ids, found.ordinals)
    return [tuple(map(int, one)) for one in zip(*columns, strict=True)]


@pytest.fixture
def make_sealed(tmp_path: Path) -> Iterator[MakeSealed]:
    """Return a maker of indexes that share a folder; close what it made."""
    made: list[Sealer] = []

    def make(
        width_bits: int = 256, origin: Origin | None = None, *, attachments: bool = False
    ) -> tuple[Index, Sealer]:
        index = Index(width_bits, attachments=attachments)
        sealer = Sealer(index, tmp_path, origin or origin_of(width_bits), SEAL_CODES)
        made.append(sealer)
        return index, sealer

    yield make
    for sealer in made:
        sealer.close()


def segment_files(folder: Path) -> list[Path]:
    """List the segments of a folder."""
    return sorted(folder.glob(f"*{SEGMENT_SUFFIX}"))


class SealedIndexMachine(RuleBasedStateMachine):
    """An index beside a model of it, under changes, seals, merges and restarts in any order.

    The model is also the store: what is replayed after a restart comes from it, as the
    state that each changed id has now.
    """

    width_bits = 256
    attachments = False

    @initialize()
    def begin(self) -> None:
        """Make an empty index."""
        self.folder = tempfile.TemporaryDirectory()
        self.live: dict[int, Codes] = {}
        self.ever: dict[int, Codes] = {}
        self.feed: list[list[int]] = []
        self.open()

    def open(self) -> None:
        """Open the folder as a starting process does."""
        self.index = Index(self.width_bits, attachments=self.attachments)
        origin = origin_of(self.width_bits)
        self.sealer = Sealer(self.index, Path(self.folder.name), origin, SEAL_CODES)
        if self.sealer.open():
            for changed in self.feed[self.index.revision :]:
                self.replay(changed)
        else:
            blocks = [self.block_of(i, codes) for i, codes in sorted(self.live.items())]
            self.sealer.build(blocks, len(self.feed))
        self.index.applied(len(self.feed))
        assert self.sealer.try_lock()

    def block_of(self, ids: ArrayLike, codes: Codes) -> Block:
        """Make a block of ids with as many codes each, and what is kept with them."""
        every_id = np.repeat(ids, len(codes) // np.size(ids))
        kept = {i: attachment_of(i) for i in every_id.tolist()}
        return Block(every_id, codes, kept if self.attachments else None)

    def replay(self, changed: list[int]) -> None:
        """Bring ids to the state that they have now."""
        missing = ~self.index.contains(changed)
        for entry_id in np.array(changed)[missing].tolist():
            if entry_id in self.live:
                self.index.add(*self.block_of(entry_id, self.live[entry_id]))
        self.index.withdraw([i for i in changed if i not in self.live])

    def changed(self, ids: list[int]) -> None:
        """Write a change to the feed."""
        self.feed.append(ids)
        self.index.applied(len(self.feed))

    def teardown(self) -> None:
        """Remove the folder."""
        if hasattr(self, "folder"):
            self.sealer.close()
            self.folder.cleanup()

    @rule(seed=st.integers(0, 50), count=st.integers(1, 30))
    def add(self, seed: int, count: int) -> None:
        """Add codes under new ids."""
        codes = random_codes(seed, count, self.width_bits)
        ids = np.arange(len(self.ever) + 1, len(self.ever) + 1 + count)
        self.index.add(*self.block_of(ids, codes))
        self.keep(ids, codes[:, None])

    def keep(self, ids: NDArray[np.int64], codes: NDArray[np.uint8]) -> None:
        """Note what was added: the codes of each id, shape (ids, codes an id, bytes)."""
        self.live.update(zip(ids.tolist(), codes, strict=True))
        self.ever.update(zip(ids.tolist(), codes, strict=True))
        self.changed(ids.tolist())

    @precondition(lambda self: self.live)
    @rule(share=st.floats(0, 1), seed=st.integers(0, 9))
    def withdraw(self, share: float, seed: int) -> None:
        """Withdraw some of what is live, and an id that never was."""
        ids = np.array(sorted(self.live))
        chosen = ids[np.random.default_rng(seed).random(len(ids)) < share]
        assert self.index.withdraw([*chosen.tolist(), 10**9]) == len(chosen)
        for entry_id in chosen.tolist():
            del self.live[entry_id]
        self.changed(chosen.tolist())

    @precondition(lambda self: len(self.ever) > len(self.live))
    @rule(most=st.integers(1, 20))
    def restore(self, most: int) -> None:
        """Add again what was withdrawn."""
        for entry_id in sorted(set(self.ever) - set(self.live))[:most]:
            codes = self.ever[entry_id]
            self.index.add(*self.block_of(entry_id, codes))
            self.keep(np.array([entry_id]), codes[None])

    @rule()
    def seal(self) -> None:
        """Seal, however little there is."""
        self.sealer.seal()

    @rule()
    def step(self) -> None:
        """Do what the sealer's thread would do."""
        while self.sealer.step():
            pass

    @rule()
    def compact(self) -> None:
        """Merge all, and find no withdrawn code and nothing kept with one in the files."""
        self.sealer.compact()
        files = [path.read_bytes() for path in Path(self.folder.name).iterdir()]
        kept = len(self.live) if self.attachments else 0
        assert sum(file.count(MARK) for file in files) == kept
        segments = self.index.view.segments
        assert sum(len(one.segment) for one in segments) == sum(map(len, self.live.values()))
        assert len(segments) == len(segment_files(Path(self.folder.name)))

    @rule()
    def restart(self) -> None:
        """End, and start from the files and the feed."""
        self.sealer.close()
        self.open()

    @invariant()
    def every_search_is_exact(self) -> None:
        """Whatever lies where, a search finds what counting bits finds, each once."""
        if not hasattr(self, "live"):
            return
        assert len(self.index) == sum(map(len, self.live.values()))
        if self.live:
            ids = np.concatenate([np.repeat(i, len(c)) for i, c in sorted(self.live.items())])
            codes = np.concatenate([c for _, c in sorted(self.live.items())])
            queries = codes[:: max(1, len(codes) // 4)].copy()
            queries[:, -1] ^= 5
            radii = np.arange(len(queries)) * 13 % (RADIUS_MAX[self.width_bits] + 1)
            assert found_in(self.index, queries, radii) == counted(queries, ids, codes, radii)

    @invariant()
    def what_is_kept_is_there_while_its_id_lives(self) -> None:
        """Live ids have their own attachment, withdrawn ones have none."""
        if not hasattr(self, "live"):
            return
        expected = {
            i: attachment_of(i) if self.attachments and i in self.live else None for i in self.ever
        }
        assert {i: self.index.attachment(i) for i in self.ever} == expected


class RegionalIndexMachine(SealedIndexMachine):
    """The same with codes of 64 bits, of which an id has several, and attachments."""

    width_bits = 64
    attachments = True

    @rule(seed=st.integers(0, 50), count=st.integers(1, 8), each=st.integers(1, 5))
    def add(self, seed: int, count: int, each: int = 1) -> None:
        """Add several codes under each new id."""
        codes = random_codes(seed, count * each, self.width_bits)
        ids = np.arange(len(self.ever) + 1, len(self.ever) + 1 + count)
        self.index.add(*self.block_of(ids, codes))
        self.keep(ids, codes.reshape(count, each, -1))


_SETTINGS = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestSealedIndex = SealedIndexMachine.TestCase
TestSealedIndex.settings = _SETTINGS
TestRegionalIndex = RegionalIndexMachine.TestCase
TestRegionalIndex.settings = _SETTINGS


def test_a_grown_tail_is_sealed_and_segments_are_merged(
    make_sealed: MakeSealed, tmp_path: Path
) -> None:
    """Many small additions end in few segments, and the files that were merged are gone."""
    index, sealer = make_sealed()
    sealer.build([], 0)
    codes = random_codes(1, 20 * SEAL_CODES)
    for first in range(0, len(codes), SEAL_CODES):
        index.add(np.arange(first, first + SEAL_CODES), codes[first : first + SEAL_CODES])
        while sealer.step():
            pass
    assert len(index.view.tail) == 0
    assert 1 <= len(index.view.segments) <= 4
    assert len(segment_files(tmp_path)) == len(index.view.segments)
    assert len(index) == len(codes)


def test_a_mostly_withdrawn_segment_is_written_anew(
    make_sealed: MakeSealed, tmp_path: Path
) -> None:
    """Withdrawn codes leave the file without being asked, once they are many."""
    index, sealer = make_sealed()
    sealer.build([Block(np.arange(100), random_codes(2, 100))], 1)
    before = segment_files(tmp_path)
    index.withdraw(np.arange(20))
    assert not sealer.step()
    index.withdraw(np.arange(30))
    assert sealer.step()
    assert segment_files(tmp_path) != before
    assert [len(one.segment) for one in index.view.segments] == [70]


def test_a_wholly_withdrawn_segment_goes(make_sealed: MakeSealed, tmp_path: Path) -> None:
    """Beside others or alone, a segment without a live code leaves no file."""
    index, sealer = make_sealed()
    sealer.build([Block(np.arange(100), random_codes(2, 100))], 1)
    index.add(np.arange(100, 110), random_codes(3, 10))
    sealer.seal()
    index.withdraw(np.arange(100))
    sealer.compact()
    assert [len(one.segment) for one in index.view.segments] == [10]
    index.withdraw(np.arange(100, 110))
    sealer.compact()
    assert (len(index), segment_files(tmp_path)) == (0, [])
    index.add(np.arange(5), random_codes(4, 5))
    assert len(index) == 5


def test_merged_segments_stay_within_their_bound(
    make_sealed: MakeSealed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What would grow beyond it stays apart, and withdrawn codes leave the files all the same."""
    monkeypatch.setitem(MERGED_CODES_MAX, 256, 150)
    index, sealer = make_sealed()
    sealer.build([], 0)
    for first in range(0, 400, 50):
        index.add(np.arange(first, first + 50), random_codes(first, 50))
        while sealer.step():
            pass
    sizes = [len(one.segment) for one in index.view.segments]
    assert (sum(sizes), max(sizes)) == (400, 150)
    index.withdraw(np.arange(0, 400, 10))
    sealer.compact()
    sizes = [len(one.segment) for one in index.view.segments]
    assert (sum(sizes), max(sizes) <= 150, len(sizes)) == (360, True, 3)


def test_a_large_merge_is_done_apart(
    make_sealed: MakeSealed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a process of its own it leads to the same: live codes stay, withdrawn ones go."""
    monkeypatch.setattr("imageward_index.sealer.MERGE_APART_CODES", 1)
    index, sealer = make_sealed()
    codes = random_codes(11, 110)
    sealer.build([Block(np.arange(100), codes[:100])], 1)
    index.add(np.arange(100, 110), codes[100:])
    index.withdraw(np.arange(0, 110, 2))
    sealer.compact()
    assert [len(one.segment) for one in index.view.segments] == [55]
    assert len(segment_files(tmp_path)) == 1
    live, radii = np.arange(1, 110, 2), np.array([0, 20, 63])
    assert found_in(index, codes[:3], radii) == counted(codes[:3], live, codes[live], radii)


def test_a_merge_that_fails_apart_says_why(
    make_sealed: MakeSealed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the other process said is in the error, and the index goes on as it was."""
    monkeypatch.setattr("imageward_index.sealer.MERGE_APART_CODES", 1)
    index, sealer = make_sealed()
    sealer.build([Block(np.arange(100), random_codes(12, 100))], 1)
    index.view.segments[0].segment.path.unlink()
    with pytest.raises(OSError, match="merging segments failed"):
        sealer.compact()
    assert len(index) == 100


def test_another_process_follows_without_a_pause(make_sealed: MakeSealed) -> None:
    """One seals; the other, with the same codes in its tail, adopts the segment."""
    codes = random_codes(3, 100)
    (first, sealing), (second, following) = make_sealed(), make_sealed()
    sealing.build([], 0)
    for index in (first, second):
        index.add(np.arange(100), codes)
        index.withdraw([7])
        index.applied(5)
    assert sealing.step()
    second.withdraw([8])
    assert not following.try_lock()
    assert following.step()
    assert not following.step()
    assert (len(first), len(second)) == (99, 98)
    assert (len(second.view.segments), len(second.view.tail)) == (1, 0)
    assert second.view.frozen == ()
    assert second.contains([6, 7, 8]).tolist() == [True, False, False]


def test_a_follower_waits_until_it_is_as_far(make_sealed: MakeSealed) -> None:
    """Segments with changes that a process does not have yet are not adopted."""
    (first, sealing), (second, following) = make_sealed(), make_sealed()
    sealing.build([], 0)
    first.add(np.arange(100), random_codes(4, 100))
    first.applied(2)
    sealing.step()
    second.applied(1)
    assert not following.step()
    second.add(np.arange(100), random_codes(4, 100))
    second.applied(2)
    assert following.step()
    assert (len(second), len(second.view.segments)) == (100, 1)


def test_a_follower_keeps_what_was_withdrawn_and_restored_in_one_change(
    make_sealed: MakeSealed,
) -> None:
    """The sealing process merged without the code; the follower never saw it withdrawn."""
    codes = random_codes(13, 100)
    (first, sealing), (second, following) = make_sealed(), make_sealed()
    sealing.build([Block(np.arange(100), codes)], 1)
    assert following.open()
    first.withdraw([7])
    sealing._merge(first.view.segments)
    first.add([7], codes[7:8])
    for index in (first, second):
        index.applied(3)
    assert following.step()
    assert second.contains([7]).all()
    assert (len(first), len(second)) == (100, 100)


@pytest.mark.parametrize("starting", [False, True])
def test_what_is_merged_while_it_is_opened_is_opened_merged(
    make_sealed: MakeSealed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, starting: bool
) -> None:
    """Between manifest and segments the sealing process names others and removes these."""
    (first, sealing), (second, following) = make_sealed(), make_sealed()
    sealing.build([Block(np.arange(100), random_codes(14, 100))], 1)
    if not starting:
        second.add(np.arange(100), random_codes(14, 100))
        second.applied(1)
    open_segment = Segment.open

    def merge_first(path: Path, *given: object) -> Segment:
        monkeypatch.undo()
        sealing._merge(first.view.segments)
        assert not path.exists()
        return open_segment(path, *given)

    monkeypatch.setattr(Segment, "open", merge_first)
    assert following.open() if starting else following.step()
    assert [live.segment.path for live in second.view.segments] == segment_files(tmp_path)
    assert second.contains(np.arange(100)).all()


def test_the_lock_goes_with_its_process(make_sealed: MakeSealed) -> None:
    """When the sealing process ends, another becomes it."""
    (_, first), (_, second) = make_sealed(), make_sealed()
    assert first.try_lock()
    assert not second.try_lock()
    first.close()
    assert second.try_lock()


def test_searches_never_miss_while_segments_are_made(make_sealed: MakeSealed) -> None:
    """Beside adds, withdrawals, seals and merges, what is live throughout is always found once."""
    index, sealer = make_sealed()
    sealer.build([], 0)
    kept = random_codes(5, 60)
    index.add(np.arange(60), kept)
    stop, wrong = threading.Event(), list[str]()

    def search() -> None:
        while not stop.is_set():
            found = index.search(kept[2::3], 0)
            expected = np.arange(2, 60, 3)
            if found.ids[found.ids < 60].tolist() != expected.tolist():
                wrong.append(f"{found.ids.tolist()}")

    searcher = threading.Thread(target=search)
    searcher.start()
    for turn in range(1, 40):
        ids = np.arange(turn * 100, turn * 100 + 50)
        index.add(ids, random_codes(turn, 50))
        index.withdraw(ids[::2])
        sealer.step()
        if turn % 10 == 0:
            sealer.compact()
    stop.set()
    searcher.join()
    assert wrong == []
    assert len(index) == 60 + 39 * 25


@pytest.mark.parametrize("damage", ["flipped", "torn", "foreign", "missing"])
def test_a_damaged_folder_is_refused_and_can_be_built_again(
    damage: str, make_sealed: MakeSealed, tmp_path: Path
) -> None:
    """The error names the file and says what to do; a build makes the folder whole."""
    blocks = [Block(np.arange(100), random_codes(6, 100))]
    _, sealer = make_sealed()
    sealer.build(blocks, 1)
    sealer.close()
    (file,) = segment_files(tmp_path)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes({"flipped": data, "torn": data[:-5000], "foreign": b"x" * 40000}[damage])
    index, again = make_sealed()
    with pytest.raises(SegmentCorrupt) as refused:
        again.open()
    assert refused.value.path == file
    assert "rebuilt from the store" in refused.value.hint
    assert str(tmp_path) not in str(refused.value)
    again.build(blocks, 1)
    assert len(index) == 100
    assert len(segment_files(tmp_path)) == 1


@pytest.mark.parametrize(
    "origin", [origin_of(256, "other"), Origin("store", "test-2", 256), origin_of(64)]
)
def test_segments_of_another_origin_are_refused(make_sealed: MakeSealed, origin: Origin) -> None:
    """Codes of another store, hasher or width are never searched."""
    _, sealer = make_sealed()
    sealer.build([Block(np.arange(100), random_codes(7, 100))], 1)
    _, other = make_sealed(origin.width_bits, origin)
    with pytest.raises(SegmentIncompatible):
        other.open()


def test_segments_of_an_abandoned_future_do_not_count(make_sealed: MakeSealed) -> None:
    """After a store was put back to a backup, its segments are beyond it."""
    _, sealer = make_sealed()
    sealer.build([Block(np.arange(100), random_codes(8, 100))], 9)
    _, again = make_sealed()
    assert not again.open(revision_max=lambda: 8)
    assert again.open(revision_max=lambda: 9)


def test_what_a_crash_left_is_removed(make_sealed: MakeSealed, tmp_path: Path) -> None:
    """Half-written and unnamed files go at the next seal; the lock and the manifest stay."""
    index, sealer = make_sealed()
    (tmp_path / f"00-left{SEGMENT_SUFFIX}").touch()
    (tmp_path / "00-half.partial").touch()
    sealer.build([], 0)
    index.add(np.arange(50), random_codes(9, 50))
    sealer.step()
    names = {path.name for path in tmp_path.iterdir()}
    manifest = read_manifest(tmp_path)
    assert manifest is not None
    assert names == {FILE_NAME, LOCK_NAME, *manifest.names}


_CRASHING = """
import sys, pathlib, numpy as np
from imageward_index.index import Index
from imageward_index.manifest import Origin
from imageward_index.sealer import Sealer
index = Index(64, attachments=True)
sealer = Sealer(index, pathlib.Path(sys.argv[1]), Origin("store", "test-1", 64), 40)
sealer.build([], 0)
generator = np.random.default_rng(0)
for turn in range(1, 10_000):
    ids = np.arange(turn * 100, turn * 100 + 50)
    codes = generator.integers(0, 256, (100, 8), np.uint8)
    index.add(np.repeat(ids, 2), codes, {i: b"%d." % i * 200 for i in ids.tolist()})
    index.applied(turn)
    while sealer.step():
        pass
    print(turn, flush=True)
"""


@pytest.mark.parametrize("turns", [1, 4, 9])
def test_a_killed_sealer_leaves_a_whole_folder(
    turns: int, make_sealed: MakeSealed, tmp_path: Path
) -> None:
    """However a SIGKILL falls among seals and merges, the folder opens with all it named."""
    process = subprocess.Popen(
        [sys.executable, "-c", _CRASHING, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process, process.stdout as lines:
        done = [int(next(lines)) for _ in range(turns)][-1]
        os.kill(process.pid, signal.SIGKILL)
        with suppress(ValueError):
            done = max([done, *(int(line) for line in lines)])
    index, sealer = make_sealed(64, attachments=True)
    assert sealer.open()
    assert done <= index.revision <= done + 1
    assert len(index) == 100 * index.revision
    ids = [100 * turn + i for turn in range(1, index.revision + 1) for i in range(50)]
    assert [index.attachment(i) for i in ids] == [b"%d." % i * 200 for i in ids]
