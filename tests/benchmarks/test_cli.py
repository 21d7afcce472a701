"""The command as a whole process."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from imageward_bench.process_state import children_of

TIMEOUT_S = 60.0


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are read from /proc")
def test_a_benchmark_that_is_terminated_leaves_no_server_behind() -> None:
    """SIGTERM ends what it started, and then the command, with 143."""
    command = "import sys; from imageward_bench.cli import main; sys.argv[1:] = ['soak']; main()"
    bench = subprocess.Popen([sys.executable, "-c", command], stderr=subprocess.DEVNULL)
    try:
        server = first_child(bench.pid)
        worker = first_child(server)
        bench.send_signal(signal.SIGTERM)
        assert bench.wait(TIMEOUT_S) == 128 + signal.SIGTERM
        assert not [pid for pid in (server, worker) if Path(f"/proc/{pid}").exists()]
    finally:
        bench.kill()


def first_child(pid: int) -> int:
    """Wait until a process has started another; return that."""
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        if started := children_of(pid):
            return started[0]
    raise TimeoutError(f"process {pid} has started nothing")
