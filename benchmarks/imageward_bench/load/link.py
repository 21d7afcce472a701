"""A socket with the connection that speaks over it, and what to do when it is lost."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from imageward_bench.load.connection import STATUS_UNAVAILABLE, Answer, Connection

CONNECT_S_MAX = 5.0
READ_BYTES = 1 << 18


class Link:
    """One connection to the server. Does not block once it is made.

    Args:
        target: host and port.
        shared: headers that every request has besides ":authority".

    Raises:
        OSError: the server cannot be reached.
    """

    def __init__(self, target: str, shared: Sequence[tuple[str, str]]) -> None:
        host, _, port = target.rpartition(":")
        self.socket = socket.create_connection((host.strip("[]"), int(port)), CONNECT_S_MAX)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(0)
        self.connection = Connection([(":authority", target), *shared])
        self.lost = False

    def fileno(self) -> int:
        """Return what `select` waits for."""
        return self.socket.fileno()

    @property
    def usable(self) -> bool:
        """Whether new calls may be sent here."""
        return not (self.lost or self.connection.leaving)

    def write(self) -> None:
        """Send what is to be sent, as far as the kernel takes it."""
        out = self.connection.out
        if not out or self.lost:
            return
        try:
            del out[: self.socket.send(out)]
        except BlockingIOError:
            return
        except OSError:
            self.lost = True

    def read(self) -> list[Answer]:
        """Return the answers that have come; all open calls fail when the connection is lost."""
        try:
            data = self.socket.recv(READ_BYTES)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        if data:
            return self.connection.receive(data)
        self.lost = True
        return self.connection.fail_all(STATUS_UNAVAILABLE, "the connection was lost")

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()
