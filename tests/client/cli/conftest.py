"""Runs the command in this process, against the scripted server."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from imageward_client.cli import main

if TYPE_CHECKING:
    from pathlib import Path

    from tests.client.conftest import Peer


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def objects(self) -> list[Any]:
        """Its standard output as JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]


Run = Callable[..., Ran]
Picture = Callable[[str], "Path"]


@pytest.fixture
def run(peer: Peer, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs the command in this process against the scripted server."""

    def ran(*arguments: object) -> Ran:
        with pytest.raises(SystemExit) as exited:
            main(["--server", peer.target, *map(str, arguments)])
        captured = capfd.readouterr()
        return Ran(int(exited.value.code or 0), captured.out, captured.err)

    return ran


@pytest.fixture
def picture(tmp_path: Path) -> Picture:
    """Writes a file whose first word scripts the server's verdict."""

    def written(words: str) -> Path:
        path = tmp_path / f"{words.replace(' ', '-')}.jpg"
        path.write_bytes(words.encode())
        return path

    return written
