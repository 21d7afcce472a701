"""`imageward-server audit` from end to end: a real store, tampered with by SQL."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from imageward_index.policy import Policy
from imageward_server.app import open_store
from imageward_server.audit.row import Actor
from imageward_server.cli import app
from imageward_server.config import Config
from imageward_server.store.engine import open_engine, sqlite_url, writing

ANA = Actor("ana", "reviewer")


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Return the data folder of a server that was stopped."""
    folder = tmp_path / "data"
    store = open_store(Config(data_dir=folder))
    store.create_bank("known", Policy(), ANA)
    for _ in range(5):
        store.audit(ANA, "find matches")
    store.close()
    return folder


def run(*words: str | Path) -> Result:
    """Run the command."""
    return CliRunner().invoke(app, ["audit", *map(str, words)])


def tamper(data_dir: Path, *statements: str) -> None:
    """Change the database."""
    engine = open_engine(sqlite_url(data_dir))
    with writing(engine) as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()


def test_a_whole_audit_verifies(data_dir: Path) -> None:
    """With 0, and how much there is."""
    result = run("verify", "--data-dir", data_dir)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("whole: 7 rows, under this key from row 1 on; 1 checkpoints")


@pytest.mark.parametrize(
    ("statements", "said"),
    [
        (["UPDATE audit_row SET actor = 'ben' WHERE number = 3"], "row 3 was edited"),
        (["UPDATE audit_row SET mac = digest WHERE number = 3"], "row 3 was not written"),
        (["DELETE FROM audit_row WHERE number = 4"], "row 4 is missing"),
        (["DELETE FROM audit_row WHERE number > 5"], "row 6 is missing"),
        (
            [
                "DELETE FROM audit_row WHERE number > 5",
                (
                    "UPDATE audit_head SET number = 5, "
                    "digest = (SELECT digest FROM audit_row WHERE number = 5)"
                ),
            ],
            "row 5 may not be the last",
        ),
        (["DELETE FROM audit_checkpoint"], "row 1 has lost its checkpoint"),
        (["DELETE FROM audit_head"], "the audit has no end any more"),
        (
            ["DELETE FROM audit_row", "UPDATE audit_head SET number = 0, mac = NULL"],
            "row 1 is missing",
        ),
        (["UPDATE head SET revision = 9"], "row 8 is missing: the store is at revision 9"),
    ],
)
def test_what_was_done_to_the_database_is_said(
    data_dir: Path, statements: list[str], said: str
) -> None:
    """With 1, and the first row that is not what it was."""
    tamper(data_dir, *statements)
    result = run("verify", "--data-dir", data_dir)
    assert result.exit_code == 1
    assert said in result.stderr


def test_an_export_verifies_with_the_public_key_alone(data_dir: Path, tmp_path: Path) -> None:
    """All rows as JSON lines, judged without the store and without the secret."""
    file = tmp_path / "audit.jsonl"
    assert run("export", file, "--data-dir", data_dir).exit_code == 0
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["row"]["number"] for line in lines if "row" in line] == list(range(1, 8))
    assert file.stat().st_mode & 0o777 == 0o600
    key = run("public-key", "--data-dir", data_dir).stdout.strip()
    assert run("verify-export", file, key).exit_code == 0
    file.write_text(file.read_text().replace('"begin"', '"began"'))
    assert "row 1 was edited" in run("verify-export", file, key).stderr


@pytest.mark.parametrize("key", ["00", "zz" * 32])
def test_what_is_no_public_key_is_wrong_usage(data_dir: Path, key: str, tmp_path: Path) -> None:
    """With 2."""
    file = tmp_path / "audit.jsonl"
    run("export", file, "--data-dir", data_dir)
    assert run("verify-export", file, key).exit_code == 2


def test_an_export_that_was_cut_is_refused(data_dir: Path, tmp_path: Path) -> None:
    """Its last line is what says where the audit ends."""
    file = tmp_path / "audit.jsonl"
    run("export", file, "--data-dir", data_dir)
    key = run("public-key", "--data-dir", data_dir).stdout.strip()
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:-1]))
    assert "no end" in run("verify-export", file, key).stderr


def test_a_kept_checkpoint_shows_what_is_gone(data_dir: Path, tmp_path: Path) -> None:
    """The whole audit wiped and begun anew verifies, but not beside an earlier export."""
    file = tmp_path / "audit.jsonl"
    run("export", file, "--data-dir", data_dir)
    tamper(
        data_dir,
        "DELETE FROM audit_row",
        "DELETE FROM audit_checkpoint",
        "UPDATE audit_head SET number = 0, checkpoint = 0, checkpoint_us = 0, mac = NULL",
    )
    store = open_store(Config(data_dir=data_dir))
    store.audit(ANA, "find matches")
    store.close()
    assert run("verify", "--data-dir", data_dir).exit_code == 0
    result = run("verify", "--data-dir", data_dir, "--kept", file)
    assert result.exit_code == 1
    assert re.search("row 1 .*checkpoint", result.stderr)


def test_commands_make_no_store_and_no_key(tmp_path: Path) -> None:
    """A misspelt folder stays empty, and a key that is missing is said."""
    result = run("verify", "--data-dir", tmp_path)
    assert (result.exit_code, list(tmp_path.iterdir())) == (1, [])
    assert "has no store" in result.stderr


def test_a_missing_key_is_said_and_not_made(data_dir: Path) -> None:
    """What verifies must not begin to prove something else."""
    (data_dir / "audit.key").unlink()
    result = run("verify", "--data-dir", data_dir)
    assert result.exit_code == 2
    assert "cannot be read" in result.stderr
    assert not (data_dir / "audit.key").exists()


def test_a_lost_key_is_replaced_by_the_operator_s_word(data_dir: Path) -> None:
    """With a reason, which is in the audit with the operator's name."""
    (data_dir / "audit.key").unlink()
    result = run("renew", "--data-dir", data_dir, "--reason", "the key was lost")
    assert result.exit_code == 0, result.stderr
    assert "from row 8 on" in run("verify", "--data-dir", data_dir).stdout


def test_a_new_key_is_for_its_owner_alone(tmp_path: Path) -> None:
    """And one that is there is not touched."""
    file = tmp_path / "some.key"
    assert [run("new-key", file).exit_code, run("new-key", file).exit_code] == [0, 1]
    assert file.stat().st_mode & 0o777 == 0o600
