"""SIGKILL in the middle of an upload, an approval or a deletion: nothing is half done."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from imageward_server.intake.intake import Intake
from imageward_server.intake.steward import Steward
from imageward_server.store.case_tables import PictureState

if TYPE_CHECKING:
    from conftest import Clock, People


def crash(intake: Intake, data_dir: Path, what: str, subject: str) -> None:
    """Let another process do something, and die in it."""
    script = Path(__file__).parent / "crashing.py"
    command = [sys.executable, str(script), str(data_dir), intake.master_key.hex(), what, subject]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL


@pytest.mark.parametrize("what", ["upload", "examine"])
def test_an_upload_that_was_killed_is_forgotten(
    what: str,
    people: People,
    intake: Intake,
    data_dir: Path,
    steward: Steward,
    clock: Clock,
    picture: bytes,
) -> None:
    """No reviewer sees it, another upload is taken, and within an hour nothing is left of it."""
    number, _ = people.open_case()
    crash(intake, data_dir, what, number)
    (torn,) = people.pictures(number)
    assert torn.state is PictureState.ARRIVING
    whole = people.hand_over(number, picture)
    clock.now_s += 3600
    steward.round()
    assert intake.quarantine.held() == {number: {whole}}
    assert [one.id for one in people.pictures(number)] == [whole]


def test_an_approval_that_was_killed_before_it_was_durable_did_not_happen(
    people: People, intake: Intake, data_dir: Path, picture: bytes
) -> None:
    """No opinion, no entry; the picture waits, and can be approved."""
    number, _ = people.open_case()
    waiting = people.hand_over(number, picture)
    crash(intake, data_dir, "bank", waiting)
    (kept,) = people.pictures(number)
    assert kept.state is PictureState.WAITING
    assert intake.store.revision() == 1
    assert people.decide(waiting).state is PictureState.APPROVED


@pytest.mark.parametrize("what", ["delete", "note"])
def test_a_deletion_that_was_killed_is_done_by_the_next_round(
    what: str, people: People, intake: Intake, data_dir: Path, steward: Steward, picture: bytes
) -> None:
    """The entry is banked once, and the picture goes."""
    number, _ = people.open_case()
    crash(intake, data_dir, what, people.hand_over(number, picture))
    (banked,) = people.pictures(number)
    assert (banked.state, banked.deleted_us) == (PictureState.APPROVED, None)
    steward.round()
    (gone,) = people.pictures(number)
    assert gone.deleted_us is not None
    assert gone.entry_id is not None
    assert intake.quarantine.held() == {}
    assert intake.store.revision() == 2
