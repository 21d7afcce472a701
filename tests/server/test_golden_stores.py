"""Data folders of earlier versions: opened, upgraded and served, with the answers of then."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from types import ModuleType

import pytest
from typer.testing import CliRunner

from imageward_server.cli import app

GOLDEN = Path(__file__).parents[1] / "golden"
FORMATS = sorted(path.name for path in (GOLDEN / "stores").glob("*"))
BYTES_MAX = 300_000


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    """Return the script that writes such folders: it knows how to ask one."""
    spec = importlib.util.spec_from_file_location("make_store", GOLDEN / "make_store.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=FORMATS)
def golden(request: pytest.FixtureRequest) -> Path:
    """Return the folder of one format."""
    return GOLDEN / "stores" / str(request.param)


@pytest.fixture
def data_dir(golden: Path, tmp_path: Path) -> Path:
    """Copy the data folder of one format, for its owner alone, as a checkout is not."""
    copy = shutil.copytree(golden / "data", tmp_path / "data")
    (copy / "audit.key").chmod(0o600)
    return copy


def test_there_is_one() -> None:
    """A test without a folder would prove nothing."""
    assert FORMATS != []


def test_it_answers_what_its_own_version_answered(
    golden: Path, data_dir: Path, maker: ModuleType
) -> None:
    """Banks, entries, checks by hash and by a crop, contacts of cases."""
    expected = json.loads((golden / "expected.json").read_text())
    numbers = expected.pop("cases")
    query = (golden / "query.jpg").read_bytes()
    assert maker.ask(data_dir, query, list(numbers.values())) == expected


def test_its_answers_are_not_all_the_same(golden: Path) -> None:
    """Among what is expected is a block by parts, each verdict, and both states."""
    expected = json.loads((golden / "expected.json").read_text())
    assert expected["image_check"]["verdict"] == "BLOCK"
    verdicts = {check["verdict"] for check in expected["hash_checks"]}
    assert verdicts == {"ALLOW", "REVIEW", "BLOCK"}
    states = {(entry["state"], entry["hash"] is None) for entry in expected["entries"]}
    assert states >= {("ACTIVE", False), ("WITHDRAWN", False), ("WITHDRAWN", True)}
    assert sorted(map(str, expected["contacts"].values())) == [
        "kim@example.org", "sam@example.org",
    ]  # fmt: skip


def test_its_audit_is_whole_before_and_after(data_dir: Path, maker: ModuleType) -> None:
    """Opened by this version, it goes on under the same key."""
    store = maker.open_store(maker._config(data_dir))
    store.audit(maker.ANA, "find matches")
    store.close()
    result = CliRunner().invoke(app, ["audit", "verify", "--data-dir", str(data_dir)])
    assert result.exit_code == 0, result.stderr
    assert "under this key from row 1 on" in result.stdout


def test_it_is_small(golden: Path) -> None:
    """It is in every checkout."""
    assert sum(path.stat().st_size for path in golden.rglob("*") if path.is_file()) < BYTES_MAX
