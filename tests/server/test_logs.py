"""How log lines reach the stream that several processes share."""

from __future__ import annotations

import json
import socket
import subprocess
import sys

LINES = 3
PATIENCE_S = 60
PROGRAM = f"""
import structlog
from imageward_server import logs

logs.configure("json", "info")
for number in range({LINES}):
    structlog.get_logger().info("said", number=number)
"""


def test_a_line_and_its_end_are_one_write() -> None:
    """Every line of JSON is written whole, so that no other process's line comes between."""
    # On a socket of datagrams each write stays one message.
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        command = [sys.executable, "-c", PROGRAM]
        subprocess.run(command, stderr=theirs, check=True, timeout=PATIENCE_S)
        ours.settimeout(PATIENCE_S)
        writes = [ours.recv(10_000) for _ in range(LINES)]

    assert [write.endswith(b"}\n") for write in writes] == [True] * LINES
    assert list(range(LINES)) == [json.loads(write)["number"] for write in writes]
