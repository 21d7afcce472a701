"""A short fuzzing of the cage, what was once found, and the tools of the long one."""

from __future__ import annotations

import zlib
from pathlib import Path
from random import Random

import pytest

from imageward_bench.fuzz.execution import execute
from imageward_bench.fuzz.files import files
from imageward_bench.fuzz.minimise import minimised
from imageward_bench.fuzz.mutations import mutated, with_checksums
from imageward_server.cage.cage import Cage

SEED = 7
RUNS = 300
FINDS = Path(__file__).with_name("finds")


def test_every_whole_file_decodes(cage: Cage) -> None:
    """What is spoiled was readable: otherwise the fuzzing would reach nothing."""
    ends = {
        extension: {execute(cage.pool, file, banked=False).outcome for file in made}
        for extension, made in files().items()
    }
    assert set.union(*ends.values()) == {"decoded"}


def test_spoiled_files_find_nothing(cage: Cage) -> None:
    """No crash, escape, lie, overrun or mistake of ours in a few hundred files."""
    rng, by_format = Random(SEED), files()
    finds = []
    for number in range(RUNS):
        extension = rng.choice(list(by_format))
        spoiled = mutated(rng.choice(by_format[extension]), rng, by_format[extension])
        result = execute(cage.pool, spoiled, banked=number % 10 == 0)
        finds += [result.find] if result.find else []
    assert finds == []


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
