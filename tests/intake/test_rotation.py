"""Another master key: pictures and addresses open with it alone, also after a cut in between."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from typer.testing import CliRunner

from imageward_server import key_file
from imageward_server.cli import app
from imageward_server.errors import DataCorrupt
from imageward_server.intake import cases
from imageward_server.intake.intake import CONTACT_KEY, Intake
from imageward_server.intake.quarantine import FOLDER, Quarantine
from imageward_server.key_file import derive, new_key
from imageward_server.store.ledger import read_rows

CONTACT = "person@example.org"


def hold(intake: Intake, picture_id: str) -> str:
    """Open a case with an address and a picture; return its number."""
    with intake.store.changing() as head:
        number = cases.open_case(
            intake, head, opener="helpline", region="US", language="en", contact=CONTACT
        )
    sealed = intake.quarantine.begin(number, picture_id)
    sealed.write(picture_id.encode())
    sealed.finish()
    sealed.close()
    return number


def contact(intake: Intake, number: str) -> str | None:
    """Read the address of a case."""
    with intake.store.reading() as connection:
        return cases.contact_of(intake, cases.get(connection, number))


def under(intake: Intake, data_dir: Path, key: bytes) -> Intake:
    """Return the intake under another key."""
    return dataclasses.replace(
        intake, master_key=key, quarantine=Quarantine(data_dir / FOLDER, key)
    )


def test_the_command_changes_the_key(intake: Intake, data_dir: Path, tmp_path: Path) -> None:
    """Everything opens with the new key and nothing with the old; a second call finds no more."""
    number = hold(intake, "one")
    files = {"old": tmp_path / "old.key", "new": tmp_path / "new.key"}
    files["old"].write_text(key_file.write_key(intake.master_key))
    files["old"].chmod(0o600)
    key_file.make_key_file(files["new"])
    settings = tmp_path / "intake.toml"
    settings.write_text(f'master_key_file = "{files["old"]}"\n')
    told = ["intake", "rotate-key", str(files["new"]), "--data-dir", str(data_dir)]
    for expected in ("1 cases' keys and 1 addresses", "0 cases' keys and 0 addresses"):
        done = CliRunner().invoke(app, [*told, "--intake-config", str(settings)])
        assert (done.exit_code, expected in done.stdout) == (0, True)
    with intake.store.reading() as connection:
        deeds = [sealed.row.action for sealed in read_rows(connection)]
    assert deeds[-2:] == ["rotate intake key"] * 2
    with pytest.raises(DataCorrupt):
        intake.quarantine.read(number, "one")
    with pytest.raises(DataCorrupt):
        contact(intake, number)
    rotated = under(intake, data_dir, key_file.load_key(files["new"], "", ""))
    assert rotated.quarantine.read(number, "one") == b"one"
    assert contact(rotated, number) == CONTACT
    assert list((data_dir / FOLDER / number).glob("*.old")) == []


def test_a_rotation_that_was_cut_off_goes_on(intake: Intake, data_dir: Path) -> None:
    """One case's key is under the new master key already, with the other it begins."""
    new = new_key()
    first = hold(intake, "one")
    assert intake.quarantine.rewrap(new) == 1
    second = hold(intake, "two")
    assert intake.quarantine.rewrap(new) == 1
    rotated = under(intake, data_dir, new)
    assert rotated.quarantine.read(first, "one") == b"one"
    assert rotated.quarantine.read(second, "two") == b"two"
    with pytest.raises(DataCorrupt):
        Quarantine(data_dir / FOLDER, new_key()).rewrap(new_key())
    keys = (derive(intake.master_key, CONTACT_KEY), derive(new, CONTACT_KEY))
    for expected in (2, 0):
        with intake.store.changing() as head:
            assert cases.rewrap_contacts(head, *keys) == expected
    assert contact(rotated, first) == CONTACT
