"""The port that workers will share, reserved before they are there."""

from __future__ import annotations

import socket

import pytest

from imageward_server.processes.listen_socket import reserve_port


def _join(port: int) -> socket.socket:
    """Bind to a port as a worker does, and listen."""
    worker = socket.socket()
    worker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    worker.bind(("127.0.0.1", port))
    worker.listen()
    return worker


def test_a_reserved_port_takes_no_connection_until_a_worker_listens() -> None:
    """It is refused before, and all of it is the worker's after."""
    with reserve_port("127.0.0.1:0", shared=False) as reserved:
        address = reserved.getsockname()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
        with _join(address[1]) as worker, socket.create_connection(address):
            worker.accept()[0].close()


def test_a_port_where_somebody_listens_is_refused_unless_it_is_shared() -> None:
    """The message names the address and asks the likely question."""
    with _join(0) as other:
        listen = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(OSError, match=f"cannot listen on {listen}; is another server there"):
            reserve_port(listen, shared=False)
        reserve_port(listen, shared=True).close()


def test_a_host_that_is_none_is_refused() -> None:
    """The message names the address."""
    with pytest.raises(OSError, match=r"cannot listen on no\.such\.host\.invalid:1"):
        reserve_port("no.such.host.invalid:1", shared=False)
