"""Who serves a data folder on a port: one file, kept locked by the supervisor that wrote it.

The lock goes with its process, however that ends; a file that nobody has locked is left
over. So the process id in a locked file is that of the supervisor and of nobody else.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

NAME = "supervisor-{port}.json"


@dataclass(frozen=True, slots=True)
class WorkerLine:
    """What is told of one worker.

    Attributes:
        worker: its number; a successor has the same as the one it follows.
        pid: its process id.
        stage: `loading`, `loaded`, `serving` or `draining`.
        deaths: how many of that number have died.
    """

    worker: int
    pid: int
    stage: str
    deaths: int


class Roster:
    """Writes the file of one supervisor.

    Args:
        data_dir: the data folder.
        port: where the workers serve.
    """

    def __init__(self, data_dir: Path, port: int) -> None:
        self._path = data_dir / NAME.format(port=port)
        self._port = port
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._written = b""
        self.is_behind = False

    def claim(self) -> bool:
        """Lock the file, or keep it locked; return whether it is this process's."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def holder_pid(self) -> int | None:
        """Return the process id of the supervisor that has it locked."""
        if self.claim():
            return None
        pid: int = json.loads(self._path.read_bytes())["supervisor_pid"]
        return pid

    def write(self, lines: Sequence[WorkerLine]) -> None:
        """Tell what the workers do, if it has changed.

        While another supervisor has the file, nothing is written, and `is_behind` says so.
        """
        told = {"supervisor_pid": os.getpid(), "port": self._port, "workers": [*map(asdict, lines)]}
        text = json.dumps(told).encode()
        self.is_behind = text != self._written and not self.claim()
        if text != self._written and not self.is_behind:
            # In place, because the lock is on the file and not on its name. What is cut
            # off afterwards is blank, for those who read in between.
            os.pwrite(self._file, text.ljust(os.fstat(self._file).st_size), 0)
            os.ftruncate(self._file, len(text))
            self._written = text

    def close(self) -> None:
        """Give the lock away."""
        os.close(self._file)


def read_rosters(data_dir: Path) -> list[dict[str, Any]]:
    """Read what every supervisor that runs on a data folder has told."""
    told = []
    for path in sorted(data_dir.glob(NAME.format(port="*"))):
        with path.open("rb") as file:
            if not _is_left_over(file.fileno()):
                told.append(json.loads(file.read()))
    return told


def _is_left_over(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
