"""What the tests over a socket share."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from imageward_client import Client
from imageward_server.app import Server

END_S_MAX = 100
Start = Callable[..., "Running"]


class Running:
    """A server process, its port and its data."""

    def __init__(self, data_dir: Path, *flags: str, listen: str = "127.0.0.1:0") -> None:
        transport = () if "--tls-key" in flags else ("--insecure",)
        command = [sys.executable, "-m", "imageward_server", "serve", "--data-dir", str(data_dir)]
        self.data_dir = data_dir
        # A file, for nobody would read a pipe while the server runs.
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115 - `close` closes it
        self.process = subprocess.Popen(
            [*command, "--listen", listen, *transport, *flags],
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
        )
        assert self.process.stdout is not None
        with self.process.stdout as first_line:
            ready = re.search(r"serving on port (\d+)", first_line.readline())
        assert ready, self.wait()
        self.target = f"127.0.0.1:{ready[1]}"
        self.client = Client(self.target, timeout_s=20)

    def worker_pids(self) -> list[int]:
        """List its workers' process ids."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in path.read_text().split()]

    def end(self, number: signal.Signals) -> tuple[int, str]:
        """Send a signal; return the exit code and what stood on stderr."""
        self.client.close()
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> tuple[int, str]:
        """Wait for the end; return the exit code and what stood on stderr."""
        code = self.process.wait(timeout=END_S_MAX)
        return code, self.said()

    def said(self) -> str:
        """Read what stands on stderr by now."""
        # Not by seeking: the place in the file is the server's too.
        return os.pread(self._said.fileno(), os.fstat(self._said.fileno()).st_size, 0).decode()

    def close(self) -> None:
        """End it if it still runs."""
        if self.process.poll() is None:
            self.end(signal.SIGKILL)
        self.client.close()
        self._said.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start servers on one data folder; end those that still run."""
    started: list[Running] = []

    def begin(*flags: str, listen: str = "127.0.0.1:0") -> Running:
        started.append(Running(tmp_path / "data", *flags, listen=listen))
        return started[-1]

    yield begin
    for running in started:
        running.close()


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Run a server of two workers for all tests of a module."""
    flags = ("--workers", "2", "--log-format", "json", "--feed-poll-s", "60")
    running = Running(tmp_path_factory.mktemp("two") / "data", *flags, "--connection-age-s", "1")
    yield running
    running.close()


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Run a server of two workers that shows metrics, for all tests of a module."""
    flags = ("--workers", "2", "--log-format", "json", "--metrics-listen", "127.0.0.1:0")
    running = Running(tmp_path_factory.mktemp("shown") / "data", *flags)
    yield running
    running.close()


@pytest.fixture
def channel(server: Server) -> Iterator[grpc.Channel]:
    """Connect without the shipped client, to send what it would not."""
    options = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(f"127.0.0.1:{server.port}", options=options) as connected:
        yield connected


@pytest.fixture
def astronaut(photograph: Callable[[str], bytes]) -> bytes:
    """Return a photograph."""
    return photograph("astronaut.png")


@pytest.fixture
def banked(client: Client, astronaut: bytes) -> str:
    """Bank the photograph in `bank`; return its entry's id."""
    client.create_bank("bank")
    entry_id = client.add_entries("bank", images=[astronaut]).results[0].entry_id
    assert entry_id is not None
    return entry_id


@pytest.fixture(scope="session")
def error_info() -> Callable[[grpc.RpcError], error_details_pb2.ErrorInfo]:
    """Return a reader of the ErrorInfo that every refusal must carry."""

    def read(error: grpc.RpcError) -> error_details_pb2.ErrorInfo:
        trailing = {item.key: item.value for item in error.trailing_metadata() or ()}
        assert "grpc-status-details-bin" in trailing, error
        status = status_pb2.Status.FromString(trailing["grpc-status-details-bin"])
        assert status.code == error.code().value[0]
        info = error_details_pb2.ErrorInfo()
        assert status.details[0].Unpack(info)
        assert info.domain == "imageward"
        return info

    return read
