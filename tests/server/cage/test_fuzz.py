"""A short fuzzing of the cage, what was once found, and the tools of the long one."""

from __future__ import annotations

import zlib
from pathlib import Path
from random import Random

import pytest

from imageward_bench.fuzz.batch import Batch, run_batch
from imageward_bench.fuzz.campaign import Keeper, all_of, shares
from imageward_bench.fuzz.execution import execute
from imageward_bench.fuzz.files import files
from imageward_bench.fuzz.minimise import minimised
from imageward_bench.fuzz.mutations import mutated, with_checksums
from imageward_bench.fuzz.numbered import Numbered
from imageward_server.cage.cage import Cage

SEED = 7
RUNS = 3_000
FEW = 40
MANY = 2_000
FINDS = Path(__file__).with_name("finds")


def test_every_whole_file_decodes(cage: Cage) -> None:
    """What is spoiled was readable: otherwise the fuzzing would reach nothing."""
    ends = {
        extension: {execute(cage.pool, file, banked=False).outcome for file in made}
        for extension, made in files().items()
    }
    assert set.union(*ends.values()) == {"decoded"}


def test_spoiled_files_find_nothing(batches: Cage) -> None:
    """No crash, escape, lie, overrun or mistake of ours in some thousand files."""
    done = run_batch(batches.pool, Numbered(SEED, files()), Batch(0, RUNS))
    assert done.finds == []
    assert done.executions == RUNS
    assert sum(done.outcomes.values()) == sum(done.formats.values()) == RUNS
    assert {"decoded", "undecodable_image"} <= set(done.outcomes)


def test_a_batch_ends_as_its_files_do_one_by_one(cage: Cage, batches: Cage) -> None:
    """Files that a cell makes itself are decoded or refused as files that are handed over."""
    made = Numbered(SEED, files())
    decoded = [
        execute(cage.pool, made[number].data, banked=made[number].banked).outcome
        for number in range(FEW)
    ].count("decoded")
    assert run_batch(batches.pool, made, Batch(0, FEW)).outcomes["decoded"] == decoded


@pytest.mark.parametrize(
    ("plant", "find"), [(b"ABRT", "crashed"), (b"FORK", "escaping"), (b"SPIN", "overrun")]
)
def test_a_batch_tells_by_which_files_its_cells_ended(
    planted_batches: Cage, plant: bytes, find: str
) -> None:
    """Each is a find under its own number, and all others are run."""
    made = Numbered(SEED, {".gif": [plant + bytes(200), b"GIF" + bytes(400)]})
    planted = [number for number in range(FEW) if made[number].data.startswith(plant)]
    batch = Batch(0, FEW if find != "overrun" else planted[1])
    done = list(all_of(planted_batches.pool, made, batch))
    finds = [one for part in done for one in part.finds]
    assert finds == [(number, find) for number in planted if number < batch.end]
    assert sum(part.executions for part in done) == batch.end


def test_a_find_of_a_batch_is_kept(planted: Cage, tmp_path: Path) -> None:
    """What does it alone is made small, and what does not is kept as it is."""
    made = Numbered(SEED, {".gif": [b"PLANT:segfault"], ".bmp": [b"PLANT:nothing"]})
    unspoiled = [number for number in range(MANY) if made[number].data == b"PLANT:segfault"]
    harmless = [number for number in range(MANY) if made[number].data == b"PLANT:nothing"]
    keeper = Keeper(planted.pool, made, tmp_path)
    keeper.keep(unspoiled[0], "escaping")
    keeper.keep(harmless[0], "escaping")
    assert sorted((path.name.split("-")[0], path.read_bytes()) for path in tmp_path.iterdir()) == [
        ("crashed", b"PLANT:segfault"),
        ("escaping", b"PLANT:nothing"),
    ]


def test_numbered_files_are_the_same_in_every_process() -> None:
    """What is written for another process gives the same files there."""
    made = Numbered(SEED, files())
    batch, there = Batch.unpack(Batch(3, 9).pack(made))
    assert batch == Batch(3, 9)
    assert [there[number] for number in range(FEW)] == [made[number] for number in range(FEW)]
    assert Numbered(SEED + 1, files())[0] != made[0]


@pytest.mark.parametrize(("runs", "cells"), [(0, 2), (1, 2), (999, 1), (5_001, 2)])
def test_every_number_is_run_once(runs: int, cells: int) -> None:
    """However many cells share the files."""
    numbers = [
        number
        for share in shares(runs, cells)
        for batch in share
        for number in range(batch.first, batch.end)
    ]
    assert sorted(numbers) == list(range(runs))


def test_what_was_found_stays_mended(cage: Cage) -> None:
    """Every file that a long fuzzing kept is refused or decoded now."""
    kept = sorted(FINDS.iterdir()) if FINDS.exists() else []
    if not kept:
        pytest.skip("nothing was found so far")
    finds = {path.name: execute(cage.pool, path.read_bytes(), banked=True).find for path in kept}
    assert set(finds.values()) == {""}


def test_a_find_is_found(planted: Cage) -> None:
    """A file that crashes its cell, or escapes, is one; fuzzing would tell."""
    assert execute(planted.pool, b"PLANT:segfault", banked=False).find == "crashed"
    assert execute(planted.pool, b"PLANT:fork", banked=False).find == "escaping"
    assert execute(planted.pool, b"PLANT:fail", banked=False).find == "RuntimeError"


def test_mutations_repeat() -> None:
    """The same seed spoils the same way."""
    made = files()[".png"]
    assert mutated(made[0], Random(SEED), made) == mutated(made[0], Random(SEED), made)


def test_checksums_are_mended() -> None:
    """A PNG whose pixels were changed has right checksums again."""
    data = bytearray(files()[".png"][0])
    at = data.index(b"IDAT") + 6
    data[at] ^= 0xFF
    mended = with_checksums(bytes(data))
    start = mended.index(b"IDAT")
    end = start + 4 + int.from_bytes(mended[start - 4 : start], "big")
    assert int.from_bytes(mended[end : end + 4], "big") == zlib.crc32(mended[start:end])
    assert len(mended) == len(data)


def test_a_find_is_made_small() -> None:
    """Of a file nothing is left but what it was found for."""
    data = Random(SEED).randbytes(300) + b"BANG" + Random(SEED).randbytes(300)
    assert minimised(data, lambda tried: b"BANG" in tried) == b"BANG"
