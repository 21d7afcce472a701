"""A real imageward server as a process of its own, on loopback."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from imageward_server.processes.processors import keeping_to

STOP_S_MAX = 30.0


class ServerProcess:
    """Starts `imageward-server serve` and ends it, gently or not.

    Args:
        data_dir: folder of its store.
        port: where it listens; 0 takes a free port.
        flags: further flags of `imageward-server serve`.
        processor: what it and all it starts may use; None for all that there are.
    """

    def __init__(
        self,
        data_dir: Path,
        port: int = 0,
        flags: Sequence[str] = (),
        processor: int | None = None,
    ) -> None:
        self._data_dir = data_dir
        self.port = port
        self._flags = tuple(flags)
        self._processor = processor
        self._process: subprocess.Popen[str] | None = None

    @property
    def target(self) -> str:
        """Where clients reach it."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The running process's id."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, and return once it listens and has read its store.

        Raises:
            RuntimeError: it ended instead; what it said is on stderr.
        """
        command = [sys.executable, "-m", "imageward_server", "serve", "--insecure"]
        command += ["--data-dir", str(self._data_dir), "--listen", self.target]
        command += ["--log-level", "warning", *self._flags]
        with keeping_to(self._processor):
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        try:
            line = self._process.stdout.readline()
        except BaseException:  # an interrupt: nobody else knows of it yet
            self.stop()
            raise
        if not line:
            raise RuntimeError(f"the server ended with code {self._process.wait(STOP_S_MAX)}")
        self.port = int(line.rpartition(" ")[2])

    def kill(self) -> None:
        """End it as a power cut would: SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> None:
        """Ask it to end, and wait until it did."""
        self.signal(signal.SIGTERM)
        self.wait()

    def wait(self) -> None:
        """Wait until it has ended, as somebody else has asked it to."""
        assert self._process is not None
        assert self._process.stdout is not None
        self._process.wait(STOP_S_MAX)
        self._process.stdout.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
