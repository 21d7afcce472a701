"""Nothing of a picture is on a disk in clear, while it is here and when it is gone."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from imageward_server.hasher import InProcessHasher
from imageward_server.intake import review, withdrawal
from imageward_server.intake.intake import Intake
from imageward_server.intake.review import RejectReason
from imageward_server.intake.steward import Steward
from imageward_server.intake.view import draw_for
from imageward_server.store.engine import FILE_NAME

if TYPE_CHECKING:
    from conftest import People

WINDOW_BYTES = 16


@pytest.fixture
def distinctive() -> bytes:
    """Return a picture whose file is long, and no part of which occurs twice."""
    noise = np.random.default_rng(20).integers(0, 256, (700, 700, 3), dtype=np.uint8)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2).astype(np.float32)
    stretched = np.clip((smooth - 128) * 4 + 128, 0, 255).astype(np.uint8)
    return cv2.imencode(".jpg", stretched, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


def traces(of: bytes, folders: list[Path]) -> list[str]:
    """Name the files that hold a window of the bytes; an index makes each search a look-up."""
    windows = {of[at : at + WINDOW_BYTES] for at in range(0, len(of) - WINDOW_BYTES, WINDOW_BYTES)}
    found = []
    for file in (file for folder in folders for file in folder.rglob("*") if file.is_file()):
        held = file.read_bytes()
        if any(held[at : at + WINDOW_BYTES] in windows for at in range(len(held))):
            found.append(file.name)
    return found


def test_the_search_finds_a_trace_where_there_is_one(distinctive: bytes, tmp_path: Path) -> None:
    """A test that could not fail would prove nothing: 40 bytes at an odd place are found."""
    (tmp_path / "log").write_bytes(b"x" * 1001 + distinctive[5000:5040] + b"y" * 77)
    assert traces(distinctive, [tmp_path]) == ["log"]


@pytest.mark.parametrize("end", ["approve", "reject", "withdraw", "expire"])
def test_a_picture_leaves_no_trace(
    end: str,
    people: People,
    intake: Intake,
    steward: Steward,
    data_dir: Path,
    distinctive: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    finish: Callable[[str, str, str], None],
) -> None:
    """Neither while it waits nor afterwards: data folder, WAL, temporary files, logs, backup."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    number, _ = people.open_case()
    waiting = people.hand_over(number, distinctive)
    draw_for("ana", intake.hasher, review.show(intake, waiting, "ana"))
    assert (data_dir / f"{FILE_NAME}-wal").stat().st_size > 0
    assert traces(distinctive, [data_dir, scratch]) == []
    finish(end, number, waiting)
    steward.round()
    backup = tmp_path / "backup"
    backup.mkdir()
    store, copy = sqlite3.connect(data_dir / FILE_NAME), sqlite3.connect(backup / FILE_NAME)
    with closing(store), closing(copy):
        store.backup(copy)
    (scratch / "log").write_text("".join(capfd.readouterr()))
    assert traces(distinctive, [data_dir, scratch, backup]) == []
    assert intake.quarantine.held() == {}
    assert list((data_dir / "quarantine").iterdir()) == []


@pytest.fixture
def finish(people: People, intake: Intake, clock: object) -> Callable[[str, str, str], None]:
    """Return a way to end a picture's stay."""

    def end(how: str, number: str, waiting: str) -> None:
        if how == "approve":
            people.decide(waiting)
        elif how == "reject":
            people.decide(waiting, RejectReason.UNCLEAR)
        elif how == "withdraw":
            withdrawal.withdraw(intake, number)
        else:
            clock.now_s += 7 * 24 * 3600  # type: ignore[attr-defined]

    return end


def test_what_a_reviewer_sees_is_grey_small_and_marked(distinctive: bytes, picture: bytes) -> None:
    """Drawn anew for each: two reviewers see different pictures of one."""
    seen = {name: draw_for(name, InProcessHasher(), picture) for name in ("ana", "ben")}
    assert seen["ana"] != seen["ben"]
    shown = cv2.imdecode(np.frombuffer(seen["ana"], np.uint8), cv2.IMREAD_UNCHANGED)
    assert shown.ndim == 2
    assert max(shown.shape) <= 1024
    assert traces_in(distinctive, draw_for("ana", InProcessHasher(), distinctive)) == 0


def traces_in(of: bytes, held: bytes) -> int:
    """Count the windows of some bytes that others hold."""
    windows = {of[at : at + WINDOW_BYTES] for at in range(0, len(of) - WINDOW_BYTES, WINDOW_BYTES)}
    return sum(held[at : at + WINDOW_BYTES] in windows for at in range(700, len(held)))
