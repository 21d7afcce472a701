"""The secrets of entries: made, found by any process, destroyed for good, and counted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from imageward_server.errors import DataCorrupt
from imageward_server.keys.entry_keys import SECRET_BYTES, EntryKeys

ROOT = bytes(range(32))


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[EntryKeys]:
    """Return the keys of no entry yet."""
    made = EntryKeys(tmp_path / "entry.keys", ROOT)
    yield made
    made.close()


def test_every_entry_has_a_key_of_its_own(keys: EntryKeys, tmp_path: Path) -> None:
    """Keys differ, another process finds the same, and another root makes others."""
    keys.make(range(1, 1_001))
    found = keys.keys_of(range(1, 1_001))
    assert None not in found
    assert len(set(found)) == 1_000
    other = EntryKeys(tmp_path / "entry.keys", ROOT)
    assert other.keys_of([1_000, 1]) == [found[-1], found[0]]
    other.make([1_001, 70_000])
    assert None not in keys.keys_of([70_000, 1_001])
    other.close()
    strange = EntryKeys(tmp_path / "entry.keys", bytes(32))
    assert strange.keys_of([1]) != [found[0]]
    strange.close()


def test_a_destroyed_secret_is_nowhere_in_the_file(keys: EntryKeys, tmp_path: Path) -> None:
    """Ones stand in its place; its neighbours are as they were, and it is counted once."""
    keys.make(range(1, 11))
    before = keys.keys_of(range(1, 11))
    file = tmp_path / "entry.keys"
    secret = file.read_bytes()[5 * SECRET_BYTES : 6 * SECRET_BYTES]
    keys.destroy([5, 7])
    keys.destroy([5])
    assert secret not in file.read_bytes()
    destroyed = keys.are_destroyed(np.arange(1, 11)).tolist()
    assert destroyed == [False] * 4 + [True, False, True] + [False] * 3
    assert keys.keys_of([4, 5, 6, 7]) == [before[3], None, before[5], None]
    assert keys.destroyed == 2


def test_a_serial_that_is_used_anew_gets_another_secret(keys: EntryKeys) -> None:
    """A transaction that was undone leaves serials that come again, and keys that do not."""
    keys.make([1, 2])
    before = keys.keys_of([1, 2])
    keys.make([2])
    after = keys.keys_of([1, 2])
    assert after[0] == before[0]
    assert after[1] not in (None, before[1])


def test_a_secret_that_was_never_made_is_an_error(keys: EntryKeys) -> None:
    """Beyond the file as within it: an entry whose key is lost is never taken for an erased one."""
    keys.make([3])
    for serial in (2, 1_000_000):
        assert not keys.has(serial)
        with pytest.raises(DataCorrupt, match="older than the store"):
            keys.keys_of([3, serial])
    assert keys.keys_of([]) == []
    keys.destroy([2, 1_000_000])
    assert (keys.keys_of([2, 1_000_000]), keys.destroyed) == ([None, None], 2)
