"""Encryption: streams, keys, the quarantine, accounts and secrets."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageward_server.config import InvalidConfig
from imageward_server.errors import DataCorrupt
from imageward_server.intake.credentials import (
    hash_pin,
    new_case_number,
    read_case_number,
    verify_pin,
)
from imageward_server.intake.keys import load_master_key
from imageward_server.intake.quarantine import Quarantine
from imageward_server.intake.sealed_stream import CHUNK_BYTES, SealedWriter, read_sealed
from imageward_server.intake.settings import load_settings
from imageward_server.key_file import InvalidKey, new_key
from imageward_server.key_file import write_key as written
from imageward_server.keys.wrapping import unwrap, wrap

KEY = bytes(range(32))


def seal(*parts: bytes) -> bytes:
    """Encrypt a file of these parts."""
    file = io.BytesIO()
    writer = SealedWriter(file, KEY)
    for part in parts:
        writer.write(part)
    writer.finish()
    return file.getvalue()


@given(st.lists(st.integers(0, 3 * CHUNK_BYTES // 2), max_size=4))
def test_what_is_sealed_is_read_back(sizes: list[int]) -> None:
    """In whatever parts it came."""
    parts = [bytes([n + 1]) * size for n, size in enumerate(sizes)]
    assert read_sealed(io.BytesIO(seal(*parts)), KEY) == b"".join(parts)


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1])
def test_a_changed_or_cut_file_does_not_open(size: int) -> None:
    """A flipped bit, a missing end, a missing chunk, an added byte, another key."""
    sealed = seal(bytes(size))
    flipped = bytearray(sealed)
    flipped[-1] ^= 1
    for spoiled in (bytes(flipped), sealed[:-1], sealed[: -CHUNK_BYTES - 16], sealed + b"\0", b""):
        with pytest.raises(DataCorrupt):
            read_sealed(io.BytesIO(spoiled), KEY)
    with pytest.raises(DataCorrupt):
        read_sealed(io.BytesIO(sealed), bytes(32))


def test_chunks_cannot_change_places() -> None:
    """Each is bound to its number."""
    sealed = seal(bytes(CHUNK_BYTES) + bytes([1]) * CHUNK_BYTES + b"end")
    head, chunk = 15, CHUNK_BYTES + 16
    first, second = sealed[head : head + chunk], sealed[head + chunk : head + 2 * chunk]
    with pytest.raises(DataCorrupt):
        read_sealed(io.BytesIO(sealed[:head] + second + first + sealed[head + 2 * chunk :]), KEY)


def test_nothing_of_it_is_in_clear() -> None:
    """Not a chunk's beginning, nor its end."""
    text = b"a distinctive sentence " * 8000
    sealed = seal(text)
    assert all(text[at : at + 8] not in sealed for at in (0, CHUNK_BYTES - 8, len(text) - 8))


def test_a_wrapped_key_opens_in_its_place_alone() -> None:
    """Moved to another case it is refused."""
    wrapped = wrap(KEY, b"secret", "case 1")
    assert unwrap(KEY, wrapped, "case 1") == b"secret"
    for key, place in ((KEY, "case 2"), (bytes(32), "case 1")):
        with pytest.raises(DataCorrupt):
            unwrap(key, wrapped, place)


def test_without_the_master_key_nothing_opens(tmp_path: Path) -> None:
    """The folder alone is worth nothing."""
    fill(Quarantine(tmp_path, KEY), "A", "1", b"picture")
    with pytest.raises(DataCorrupt):
        Quarantine(tmp_path, bytes(32)).read("A", "1")


def test_destroying_ends_the_picture_and_with_the_last_one_the_case_s_key(tmp_path: Path) -> None:
    """What was kept of the files before does not open afterwards."""
    quarantine = Quarantine(tmp_path, KEY)
    for name in ("1", "2"):
        fill(quarantine, "A", name, name.encode())
    sealed = (tmp_path / "A" / "1.sealed").read_bytes()
    quarantine.destroy("A", "1")
    quarantine.destroy("A", "1")
    assert sorted(file.name for file in (tmp_path / "A").iterdir()) == [
        "2.key",
        "2.sealed",
        "case.key",
    ]
    (tmp_path / "A" / "1.sealed").write_bytes(sealed)
    with pytest.raises(DataCorrupt):
        quarantine.read("A", "1")
    quarantine.destroy("A", "1")
    quarantine.destroy("A", "2")
    assert list(tmp_path.iterdir()) == []


def test_pictures_that_begin_while_others_go_keep_their_key(tmp_path: Path) -> None:
    """Forty begin in one case while the one before each is destroyed: all can be read."""
    quarantine = Quarantine(tmp_path, KEY)
    failed: list[BaseException] = []

    def come_and_go(name: str) -> None:
        try:
            for turn in range(10):
                fill(quarantine, "A", f"{name}{turn}", name.encode())
                assert quarantine.read("A", f"{name}{turn}") == name.encode()
                quarantine.destroy("A", f"{name}{turn}")
        except BaseException as error:  # noqa: BLE001 - told to the test below
            failed.append(error)

    threads = [threading.Thread(target=come_and_go, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert quarantine.held() == {}


@pytest.mark.parametrize("bad", ["", "short", "!!!", "A" * 43])
def test_a_bad_master_key_is_refused_without_showing_it(bad: str, tmp_path: Path) -> None:
    """The message says how to make one."""
    file = tmp_path / "master.key"
    file.write_text(bad)
    file.chmod(0o600)
    with pytest.raises(InvalidKey, match="new-key") as refused:
        load_master_key(file)
    assert not bad or bad not in str(refused.value)


def test_a_master_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    """It is as good as published."""
    file = tmp_path / "master.key"
    file.write_text(written(new_key()))
    file.chmod(0o644)
    with pytest.raises(InvalidKey, match="read by others"):
        load_master_key(file)


def test_the_master_key_comes_from_the_environment_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no file is named."""
    monkeypatch.setenv("IMAGEWARD_INTAKE_MASTER_KEY", written(KEY))
    assert load_master_key(None) == KEY


def test_pins_are_verified_by_their_hash() -> None:
    """The right one alone; two hashes of one PIN differ; none is no PIN's."""
    kept = hash_pin("12345678")
    assert verify_pin("12345678", kept)
    assert not verify_pin("12345679", kept)
    assert not verify_pin("12345678", None)
    assert kept != hash_pin("12345678")


def test_case_numbers_are_read_as_people_type_them() -> None:
    """Small letters, no dash, O for 0."""
    number = new_case_number()
    assert read_case_number(number) == number
    assert read_case_number(number.lower().replace("-", " ")) == number
    assert read_case_number("O1lo0-aaaaa") == "01100-AAAAA"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("colour = 1", "colour"),
        ('public_url = "http://help.example"', "not https"),
        ('[accounts.ana]\nsecret_hash = "plain"', "accounts"),
        ("tick_s = 0", "tick_s"),
        ("= 1", "cannot be read"),
    ],
)
def test_a_bad_setting_is_refused_by_its_name(text: str, said: str, tmp_path: Path) -> None:
    """The message names it, and never shows a secret."""
    file = tmp_path / "intake.toml"
    file.write_text(text)
    with pytest.raises(InvalidConfig, match=said) as refused:
        load_settings(file)
    assert "plain" not in str(refused.value)


def fill(quarantine: Quarantine, number: str, picture_id: str, data: bytes) -> None:
    """Put a picture in."""
    file = quarantine.begin(number, picture_id)
    file.write(data)
    file.finish()
