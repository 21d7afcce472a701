"""The shape of the house: what stands at the top, and what may import what."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOTS = {
    "protos": "imageward",
    "index": "imageward_index",
    "server": "imageward_server",
    "client": "imageward_client",
    "benchmarks": "imageward_bench",
}
# Package: what else of ours it may import.
ARROWS = {
    "imageward": set(),
    "imageward_index": set(),
    "imageward_client": {"imageward"},
    "imageward_server": {"imageward", "imageward_index"},
    "imageward_bench": {"imageward", "imageward_index", "imageward_client", "imageward_server"},
}
# Library: the only file that may import it.
ALONE = {
    "faiss": "index/imageward_index/flat_codes.py",
    "sqlite3": "server/imageward_server/store/engine.py",
}
LIGHT = {"numpy", "cv2", "faiss", "numba", "sqlalchemy", "pydantic", "structlog"}


def _imports(file: Path) -> set[str]:
    """Name the top-level packages that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def _sources() -> list[tuple[str, Path]]:
    return [
        (package, file)
        for root, package in ROOTS.items()
        for file in sorted((ROOT / root / package).rglob("*.py"))
    ]


def test_the_top_holds_the_five_roots_and_tests() -> None:
    """No other folder of code stands beside them; `docs` holds pictures."""
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if tracked.returncode:
        pytest.skip("not a git checkout")
    folders = {line.partition("/")[0] for line in tracked.stdout.splitlines() if "/" in line}
    assert folders - {"docs"} == {*ROOTS, "tests", ".ci"}


def test_each_root_holds_one_package() -> None:
    """A root of sources has its package and nothing else to import; `deploy` has no code."""
    held = {
        root: sorted(path.name for path in (ROOT / root).iterdir() if path.name[0] not in "._")
        for root in ROOTS
    }
    held["server"].remove("deploy")
    assert held == {root: [package] for root, package in ROOTS.items()}
    assert list((ROOT / "server" / "deploy").rglob("*.py")) == []


def test_the_arrows_between_packages() -> None:
    """Client to contract; server to contract and index; benchmarks to what they measure."""
    wrong = [
        f"{file.relative_to(ROOT)} imports {imported}"
        for package, file in _sources()
        for imported in _imports(file) & set(ROOTS.values())
        if imported not in {package, *ARROWS[package]}
    ]
    assert wrong == []


def test_what_only_one_file_may_import() -> None:
    """FAISS and SQLite stay behind one door each."""
    wrong = [
        f"{file.relative_to(ROOT)} imports {library}"
        for package, file in _sources()
        for library in _imports(file) & ALONE.keys()
        if package != "imageward_bench" and str(file.relative_to(ROOT)) != ALONE[library]
    ]
    assert wrong == []


def test_the_client_is_light() -> None:
    """Importing the client loads none of the server's libraries, nor the command's."""
    code = "import imageward_client, sys; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert {name.partition(".")[0] for name in loaded} & (LIGHT | {"typer", "rich"}) == set()


def test_every_module_says_what_it_owns() -> None:
    """Each of our modules begins with a docstring."""
    silent = [
        str(file.relative_to(ROOT))
        for _, file in _sources()
        if "_pb2" not in file.name and not ast.get_docstring(ast.parse(file.read_text()))
    ]
    assert silent == []
