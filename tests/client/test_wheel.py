"""What an upload frontend installs: the wheel with the base dependencies alone."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
SERVER_ONLY = ("numpy", "cv2", "faiss", "sqlalchemy", "structlog", "grpc_health", "skimage")
PIP = ("-m", "pip", "--disable-pip-version-check", "--quiet", "--retries", "0", "--timeout", "10")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The programs of a new environment that holds the wheel and its dependencies."""
    folder = tmp_path_factory.mktemp("wheel")
    _pip_or_skip(Path(sys.executable), "wheel", "--no-deps", "--wheel-dir", folder, ROOT)
    (wheel,) = folder.glob("imageward-*.whl")
    venv.create(folder / "venv", with_pip=True)
    programs = folder / "venv" / "bin"
    _pip_or_skip(programs / "python", "install", "-c", ROOT / "constraints.txt", wheel)
    return programs


def test_library_is_there_without_the_server(installed: Path) -> None:
    """The library imports where nothing that only the server needs is installed."""
    code = (
        "import importlib.util, json, imageward_client as iw;"
        f"print(json.dumps([name for name in {SERVER_ONLY} if importlib.util.find_spec(name)]));"
        "print(iw.Client.__name__, iw.__file__)"
    )
    ran = _run(installed / "python", "-I", "-c", code)
    found, origin = ran.stdout.splitlines()
    assert json.loads(found) == []
    assert str(installed.parent) in origin


def test_command_starts_without_the_server(installed: Path) -> None:
    """`imageward --help` works and names the extra command too."""
    ran = _run(installed / "imageward", "--help")
    assert ran.returncode == 0
    assert "hash" in ran.stdout


def test_extra_command_names_its_extra(installed: Path) -> None:
    """`imageward hash` says what to install and exits with 2."""
    ran = _run(installed / "imageward", "hash", "x")
    assert ran.returncode == 2
    assert "needs the server extra: pip install 'imageward[server]'" in ran.stderr


def test_client_calls_from_the_wheel(installed: Path) -> None:
    """A call from the installed command fails by its network alone, not by what is missing."""
    ran = _run(installed / "imageward", "--server", "127.0.0.1:1", "status")
    assert ran.returncode == 1
    assert "[UNAVAILABLE]" in ran.stderr


def _pip_or_skip(python: Path, *arguments: object) -> None:
    ran = _run(python, *PIP, *arguments)
    if ran.returncode:
        if "Could not find a version" in ran.stderr or "No matching distribution" in ran.stderr:
            pytest.skip("pip reaches no package index here")
        pytest.fail(ran.stderr)


def _run(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
