"""Sealed segment files: whole or refused, ids and ordinals, golden files of every format."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from imageward_index import sealed_file
from imageward_index.block import Block
from imageward_index.errors import SegmentCorrupt, SegmentIncompatible, SegmentUnusable
from imageward_index.id_column import column_of, low_bytes_for
from imageward_index.sealed_file import (
    BLOCK_BYTES,
    FORMAT_VERSION,
    ArrayShape,
    open_sealed,
    sealing,
)
from imageward_index.segment import Segment
from imageward_index.segment_writer import Stamp, write_segment
from imageward_index.slices import Plan

GOLDEN = Path(__file__).parents[1] / "golden" / f"v{FORMAT_VERSION}"
SEED = 777
STAMP = Stamp("golden-1", 3, 9)
GOLDEN_PLANS = {64: Plan(64, 4, 8), 256: Plan(256, 16, 6)}

Codes = NDArray[np.uint8]
Ids = NDArray[np.int64]


def sample(width_bits: int, count: int = 120) -> tuple[Codes, Ids]:
    """Make codes and their ids in a mixed order: one code an id, or five for 64 bits."""
    rng = np.random.default_rng(SEED)
    codes = rng.integers(0, 256, (count, width_bits // 8), np.uint8)
    ids = (1 << 47) + 3 * np.arange(count) // (5 if width_bits == 64 else 1)
    order = rng.permutation(count)
    return codes[order], ids[order]


def write(path: Path, width_bits: int) -> tuple[Codes, Ids]:
    """Seal the sample of a width under the golden plan."""
    codes, ids = sample(width_bits)
    write_segment(path, [Block(ids, codes)], stamp=STAMP, plan=GOLDEN_PLANS[width_bits])
    return codes, ids


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a whole segment of 256-bit codes."""
    write(tmp_path / "segment", 256)
    return tmp_path / "segment"


def patch(path: Path, change: Callable[[bytearray], None]) -> None:
    """Change the bytes of a file, as a new file: the old one may be mapped."""
    content = bytearray(path.read_bytes())
    change(content)
    path.unlink()
    path.write_bytes(content)


def flip_byte(path: Path, at: int) -> None:
    """Flip every bit of one byte."""

    def change(content: bytearray) -> None:
        content[at] ^= 0xFF

    patch(path, change)


@pytest.mark.parametrize("width_bits", [64, 256])
def test_codes_come_back_as_they_were_given(tmp_path: Path, width_bits: int) -> None:
    """Codes, ids, plan and stamp of a segment are those that were sealed."""
    codes, ids = write(tmp_path / "segment", width_bits)
    segment = Segment.open(tmp_path / "segment", STAMP.hasher_version)
    order = np.argsort(ids, kind="stable")
    rows = np.arange(len(codes))
    assert len(codes) == len(segment)
    assert ids[order].tolist() == segment.ids_of(rows).tolist()
    assert codes[order].tolist() == segment.codes_of(rows).tolist()
    assert (GOLDEN_PLANS[width_bits], STAMP) == (segment.plan, segment.stamp)


def test_ordinals_count_an_ids_codes(tmp_path: Path) -> None:
    """A match of one of an id's many codes says which, in the order they were given."""
    codes, ids = write(tmp_path / "segment", 64)
    segment = Segment.open(tmp_path / "segment", STAMP.hasher_version)
    found = segment.search(codes, np.zeros(len(codes), np.int64))
    expected = [int(np.count_nonzero(ids[:row] == ids[row])) for row in range(len(ids))]
    assert list(range(len(codes))) == found.queries.tolist()
    assert ids.tolist() == found.ids.tolist()
    assert expected == found.ordinals.tolist()


def test_burying_an_id_takes_all_its_codes(tmp_path: Path) -> None:
    """`bury` clears every code of an id once, and ids the segment lacks change nothing."""
    _, ids = write(tmp_path / "segment", 64)
    segment = Segment.open(tmp_path / "segment", STAMP.hasher_version)
    alive = segment.all_alive()
    wanted = np.array([ids[0], ids[1], ids[0], 5, ids.max() + 1])
    gone = np.isin(ids, wanted)
    assert segment.contains(wanted).tolist() == [True, True, True, False, False]
    assert np.count_nonzero(gone) == segment.bury(alive, wanted)
    assert segment.bury(alive, wanted) == 0
    living = np.unpackbits(alive, bitorder="little")[: len(ids)]
    assert (~gone[np.argsort(ids, kind="stable")]).tolist() == living.astype(bool).tolist()


@pytest.mark.parametrize("width_bits", [64, 256])
def test_golden_files_are_read_and_written(tmp_path: Path, width_bits: int) -> None:
    """A committed file of this format opens, searches exactly, and is written again bit for bit."""
    golden = GOLDEN / f"segment_{width_bits}.sealed"
    codes, ids = write(tmp_path / "again", width_bits)
    assert golden.read_bytes() == (tmp_path / "again").read_bytes()
    found = Segment.open(golden, STAMP.hasher_version).search(codes, np.zeros(len(codes), np.int64))
    assert ids.tolist() == found.ids.tolist()


def test_every_flipped_header_byte_is_refused(path: Path) -> None:
    """No byte of the header can change unnoticed, its padding included."""
    whole = path.read_bytes()
    for at in range(BLOCK_BYTES):
        flipped = bytearray(whole)
        flipped[at] ^= 1 << at % 8
        path.unlink()
        path.write_bytes(flipped)
        with pytest.raises(SegmentCorrupt):
            open_sealed(path)


def test_flipped_data_bytes_are_refused(path: Path) -> None:
    """Nor can a byte of any array or its padding, sampled every 131 bytes."""
    size = path.stat().st_size
    for at in [*range(BLOCK_BYTES, size, 131), size - 1]:
        flip_byte(path, at)
        with pytest.raises(SegmentCorrupt, match="damaged"):
            open_sealed(path)
        flip_byte(path, at)
    open_sealed(path)


@pytest.mark.parametrize("kept", [0, 1, 100, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 5000, -1])
def test_torn_files_are_refused(path: Path, kept: int) -> None:
    """A file cut off anywhere is refused, with its path and a hint for the operator alone."""
    patch(path, lambda content: content.__delitem__(slice(kept, None)))
    with pytest.raises(SegmentCorrupt) as refused:
        Segment.open(path, STAMP.hasher_version)
    assert path == refused.value.path
    assert "rebuilt from the store" in refused.value.hint
    assert str(path) not in str(refused.value)


def test_longer_files_are_refused(path: Path) -> None:
    """A file with bytes after its last array is none of ours."""
    patch(path, lambda content: content.extend(bytes(4096)))
    with pytest.raises(SegmentCorrupt, match="header states"):
        open_sealed(path)


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    """A file of another kind is refused by its first bytes."""
    (tmp_path / "other").write_bytes(b"IBxF" + bytes(2 * BLOCK_BYTES))
    with pytest.raises(SegmentCorrupt, match="does not begin"):
        open_sealed(tmp_path / "other")


def test_future_formats_are_refused(path: Path) -> None:
    """A whole file of a later format is incompatible, which is not corrupt."""

    def change(content: bytearray) -> None:
        content[8:12] = (FORMAT_VERSION + 1).to_bytes(4, "little")
        content[16:20] = bytes(4)
        content[16:20] = zlib.crc32(content[:BLOCK_BYTES]).to_bytes(4, "little")

    patch(path, change)
    with pytest.raises(SegmentIncompatible, match=f"format {FORMAT_VERSION + 1}"):
        open_sealed(path)


def test_other_hashers_are_refused(path: Path) -> None:
    """Codes of another hasher do not compare, so their segment is not served."""
    with pytest.raises(SegmentIncompatible, match="hasher golden-1"):
        Segment.open(path, "golden-2")


def test_misfitting_arrays_are_refused(tmp_path: Path) -> None:
    """A whole file whose arrays do not fit its plan is refused: kernels would read beside them."""
    write(tmp_path / "segment", 256)
    header, arrays = open_sealed(tmp_path / "segment")
    shapes = {name: ArrayShape(array.dtype.str, len(array)) for name, array in arrays.items()}
    shapes["offsets"] = ArrayShape("<u4", len(arrays["offsets"]) - 1)
    with sealing(tmp_path / "short", shapes) as draft:
        draft.header = header
    with pytest.raises(SegmentCorrupt, match="do not fit"):
        Segment.open(tmp_path / "short", STAMP.hasher_version)


def test_a_failed_write_leaves_the_old_file(path: Path) -> None:
    """What fails half-way leaves the file that was there, and nothing beside it."""
    before = path.read_bytes()

    def fail() -> None:
        with sealing(path, {"codes": ArrayShape("<u8", 9)}) as draft:
            draft.arrays["codes"][:] = 1
            raise RuntimeError("planted")

    with pytest.raises(RuntimeError, match="planted"):
        fail()
    assert before == path.read_bytes()
    assert [path] == list(path.parent.iterdir())


def test_a_file_is_durable_before_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bytes are synced, then the name is given, then the folder is synced."""
    steps: list[str] = []
    real_fsync, real_replace = os.fsync, Path.replace

    def fsync(descriptor: int) -> None:
        steps.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        real_fsync(descriptor)

    def replace(self: Path, target: Path) -> Path:
        steps.append("rename")
        return real_replace(self, target)

    monkeypatch.setattr(sealed_file.os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    write(tmp_path / "segment", 64)
    assert ["segment.partial", "rename", tmp_path.name] == steps


def test_a_mapped_file_may_be_replaced(path: Path) -> None:
    """A segment that is open keeps answering from its own file after another took the name."""
    segment = Segment.open(path, STAMP.hasher_version)
    codes, ids = sample(256)
    write_segment(path, [Block(ids[:1], codes[:1])], stamp=STAMP)
    found = segment.search(codes, np.zeros(len(codes), np.int64))
    assert ids.tolist() == found.ids.tolist()


def test_headers_that_outgrow_their_block_are_refused(tmp_path: Path) -> None:
    """A header too long for its block is not written."""

    def overfill() -> None:
        with sealing(tmp_path / "long", {"codes": ArrayShape("<u8", 1)}) as draft:
            draft.header = {"long": "x" * BLOCK_BYTES}

    with pytest.raises(ValueError, match="does not fit its block"):
        overfill()
    assert list(tmp_path.iterdir()) == []


def test_ids_and_codes_must_be_as_many(tmp_path: Path) -> None:
    """Codes without an id each are not sealed."""
    with pytest.raises(ValueError, match="3 codes with 2 ids"):
        write_segment(
            tmp_path / "s", [Block(np.arange(2), np.zeros((3, 8), np.uint8))], stamp=STAMP
        )


@pytest.mark.parametrize(
    ("queries", "radii", "alive", "message"),
    [
        (np.zeros((1, 8), np.uint8), [3], None, "no codes of 256 bits"),
        (np.zeros(32, np.uint8), [3], None, "no codes of 256 bits"),
        (np.zeros((2, 32), np.uint8), [3], None, "2 queries, 1 radii"),
        (np.zeros((1, 32), np.uint8), [-1], None, "outside 0..63"),
        (np.zeros((1, 32), np.uint8), [64], None, "outside 0..63"),
        (np.zeros((1, 32), np.uint8), [3], np.zeros(14, np.uint8), "120 rows"),
    ],
)
def test_misfitting_arguments_are_refused(
    path: Path,
    queries: Codes,
    radii: list[int],
    alive: NDArray[np.uint8] | None,
    message: str,
) -> None:
    """What would make the unchecked kernels read beside an array is refused before."""
    segment = Segment.open(path, STAMP.hasher_version)
    with pytest.raises(ValueError, match=message):
        segment.search(queries, np.array(radii), alive)


def test_unusable_segments_are_one_family() -> None:
    """One except clause meets every reason not to serve a file."""
    assert issubclass(SegmentCorrupt, SegmentUnusable)
    assert issubclass(SegmentIncompatible, SegmentUnusable)


# The first call compiles.
@settings(deadline=None)
@given(st.sets(st.one_of(st.integers(0, (1 << 63) - 1), st.integers(0, 300)), max_size=60))
def test_id_columns_return_every_id(ids: set[int]) -> None:
    """Whatever the ids, each is found at its place, and its neighbours are not."""
    array = np.array(sorted(ids), np.int64)
    column = column_of(array)
    places = np.arange(len(array))
    absent = np.array(
        [i + 1 for i in sorted(ids) if i + 1 not in ids and i + 1 < 1 << 63], np.int64
    )
    assert array.tolist() == column.ids_at(places).tolist()
    assert places.tolist() == column.places_of(array).tolist()
    assert [-1] * len(absent) == column.places_of(absent).tolist()
    asked = [*array.tolist(), *absent.tolist(), -1, 1 << 63]
    expected = [*places.tolist(), *[-1] * (len(absent) + 2)]
    assert expected == [column.place_of(entry_id) for entry_id in asked]


@pytest.mark.parametrize(
    ("span", "expected"), [(0, 1), (10**7, 1), (1 << 24, 2), (1 << 32, 3), ((1 << 63) - 1, 6)]
)
def test_dense_ids_take_few_bytes(span: int, expected: int) -> None:
    """Ids that are counted up take a byte or two each, ids spread over 63 bits six."""
    assert expected == low_bytes_for(span)
