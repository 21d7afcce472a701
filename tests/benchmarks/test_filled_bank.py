"""A bank of made-up fingerprints is what it says, and is filled only once."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from imageward_bench import filled_bank
from imageward_bench.cli import app
from imageward_bench.filled_bank import CACHE_ENV, Filling, batch_codes, copy_of_filled
from imageward_index.regions import BANK_CODES_MAX
from imageward_server.store import Store
from imageward_server.store.engine import sqlite_url

# As many codes as make a segment.
FILLING = Filling(600, seed=1, regional=True)
EXIT_USAGE = 2


def test_regional(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each entry has the seed's hash and regional codes of its own; the copy shares segments."""
    monkeypatch.setenv(CACHE_ENV, str(tmp_path))
    console = Console(file=io.StringIO())
    with copy_of_filled(FILLING, console) as folder:
        store = Store(sqlite_url(folder), vault=None, erase_after_s=0)
        store.open()
        entries = store.list_entries(bank_number=None, state=None, after_id=0, limit=FILLING.count)
        prints = [store.get_fingerprint(entry.id) for entry in entries]
        store.close()
        assert (
            b"".join(one.whole.code for one in prints) == batch_codes(1, 0, FILLING.count).tobytes()
        )
        codes = np.concatenate([one.codes for one in prints])
        assert len(codes) == FILLING.count * BANK_CODES_MAX
        # More than the nine photographs have that they are made up from.
        assert len(np.unique(codes)) > 1.5 * 9 * BANK_CODES_MAX
        kept = {path.stat().st_ino for path in (tmp_path / FILLING.name).rglob("*.segment")}
        assert kept
        assert kept == {path.stat().st_ino for path in folder.rglob("*.segment")}
    assert not folder.exists()
    monkeypatch.setattr(filled_bank, "MadeUp", None)
    with copy_of_filled(FILLING, console) as folder:
        assert (folder / "segments").is_dir()


def test_names(tmp_path: Path) -> None:
    """What differs in anything is kept in another folder; where photographs lie does not count."""
    for name, content in (("a/photos", "red"), ("b/photos", "blue"), ("c", "red")):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "1.jpg").write_text(content)
    red, blue, again = (
        Filling(600, 1, regional=True, photos=tmp_path / name)
        for name in ("a/photos", "b/photos", "c")
    )
    fillings = [FILLING, Filling(600, 1), Filling(600, 2), Filling(601, 1), red, blue]
    assert len({one.name for one in fillings}) == len(fillings)
    assert again.name == red.name


@pytest.mark.parametrize("command", ["load", "capacity"])
def test_photographs_for_nothing(tmp_path: Path, command: str) -> None:
    """Photographs that would have no effect are refused."""
    told = CliRunner().invoke(app, [command, "--smoke", "--photos", str(tmp_path)])
    assert told.exit_code == EXIT_USAGE
    assert "--regional" in told.output
