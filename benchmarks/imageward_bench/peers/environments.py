"""Each peer's own Python environment, made once and kept with the filled banks."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from imageward_bench.filled_bank import cache_folder

INSTALL_S_MAX = 900
LINES_TOLD = 1


class Unavailable(Exception):
    """A peer cannot be run here; the message says why."""


def python_of(packages: tuple[str, ...]) -> Path:
    """Return the Python of an environment with these packages, made where it is not there.

    Raises:
        Unavailable: they cannot be installed.
    """
    if not packages:
        return Path(sys.executable)
    digest = hashlib.sha256("\n".join((sys.version, *packages)).encode()).hexdigest()[:12]
    kept = cache_folder() / f"peer-{digest}"
    if not kept.exists():
        _make(kept, packages)
    return kept / "bin" / "python"


def versions_of(python: Path, packages: tuple[str, ...]) -> str:
    """Return the packages with their installed versions, but for NumPy."""
    names = [package.partition("=")[0].partition("[")[0] for package in packages]
    code = "import sys; from importlib.metadata import version as v; "
    code += "print(', '.join(f'{n} {v(n)}' for n in sys.argv[1:]))"
    told = [name for name in names if name not in ("numpy", "setuptools")]
    command = [str(python), "-c", code, *told]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _make(kept: Path, packages: tuple[str, ...]) -> None:
    """Make an environment; one that is not whole is removed again."""
    with tempfile.TemporaryDirectory(prefix="peer-failed-", dir=kept.parent) as failed:
        try:
            # It cannot be made elsewhere and renamed: its scripts name its folder.
            venv.create(kept, with_pip=True)
            command = [str(kept / "bin" / "python"), "-m", "pip", "install", "--quiet"]
            command += ["--disable-pip-version-check", *packages]
            subprocess.run(
                command, capture_output=True, text=True, check=True, timeout=INSTALL_S_MAX
            )
        except (subprocess.SubprocessError, OSError) as error:
            if kept.exists():
                kept.rename(Path(failed) / "environment")
            said = str(getattr(error, "stderr", None) or error).strip().splitlines()
            reason = next((one for one in reversed(said) if "ERROR" in one), said[-1])
            raise Unavailable(f"{packages[0]} cannot be installed: {reason}") from error
