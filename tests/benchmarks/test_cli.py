"""The command as a whole process."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

TIMEOUT_S = 60.0


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are read from /proc")
def test_a_benchmark_that_is_terminated_leaves_no_server_behind() -> None:
    """SIGTERM ends what it started, and then the command, with 143."""
    command = "import sys; from imageward_bench.cli import main; sys.argv[1:] = ['soak']; main()"
    bench = subprocess.Popen([sys.executable, "-c", command], stderr=subprocess.DEVNULL)
    try:
        children = Path(f"/proc/{bench.pid}/task/{bench.pid}/children")
        deadline = time.monotonic() + TIMEOUT_S
        while not (started := children.read_text().split()) and time.monotonic() < deadline:
            assert bench.poll() is None
        bench.send_signal(signal.SIGTERM)
        assert bench.wait(TIMEOUT_S) == 128 + signal.SIGTERM
        assert started
        assert not [pid for pid in started if Path(f"/proc/{pid}").exists()]
    finally:
        bench.kill()
