"""Which of several listening sockets a connection comes to, in the kernel's own hands."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from imageward_server.processes import connection_spread

Listen = Callable[[int], list[socket.socket]]


@pytest.fixture(params=["127.0.0.1", "::1"])
def listen(request: pytest.FixtureRequest) -> Iterator[Listen]:
    """Return a way to open so many sockets that listen on one port."""
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with ExitStack() as opened:

        def open_all(count: int) -> list[socket.socket]:
            sockets: list[socket.socket] = []
            for _ in range(count):
                one = opened.enter_context(socket.socket(family))
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                one.bind((request.param, sockets[0].getsockname()[1] if sockets else 0))
                one.listen(64)
                one.settimeout(0)
                sockets.append(one)
            return sockets

        yield open_all


def _accepted(listener: socket.socket) -> list[int]:
    """Accept all that wait; return the ports they came from."""
    ports = []
    while True:
        try:
            connection, address = listener.accept()
        except BlockingIOError:
            return ports
        connection.close()
        ports.append(address[1])


def _connect(listeners: list[socket.socket], count: int) -> list[list[int]]:
    """Connect so often; return by listener the ports of what it got."""
    with ExitStack() as opened:
        for _ in range(count):
            opened.enter_context(socket.create_connection(listeners[0].getsockname()[:2]))
        return [_accepted(one) for one in listeners]


def test_in_turn_every_listener_gets_as_many(listen: Listen) -> None:
    """Of 32 connections each of four gets eight, however fast they come."""
    listeners = listen(4)
    try:
        connection_spread._attach_turn(listeners[0], 4)
    except OSError as error:
        pytest.skip(f"the kernel does not let this user load a program: {error}")
    assert [len(ports) for ports in _connect(listeners, 32)] == [8, 8, 8, 8]


def test_by_port_blocks_go_round(listen: Listen) -> None:
    """Each connection comes to the listener of its port's block of 16."""
    listeners = listen(3)
    connection_spread._attach_port(listeners[0], 3)
    by_listener = _connect(listeners, 32)
    assert sum(map(len, by_listener)) == 32
    places = {port // 16 % 3 for ports in by_listener for port in ports}
    assert [{port // 16 % 3 for port in ports} for ports in by_listener] == [
        {place} & places for place in range(3)
    ]


def test_a_place_that_is_not_there_falls_to_the_hash(listen: Listen) -> None:
    """While a worker is away its connections come to the others, and none is refused."""
    listeners = listen(2)
    connection_spread._attach_port(listeners[0], 4)
    assert sum(len(ports) for ports in _connect(listeners, 32)) == 32


def test_the_listeners_of_this_process_are_found(listen: Listen) -> None:
    """By their port, whoever opened them; connected and bound sockets are none."""
    listeners = listen(2)
    port = listeners[0].getsockname()[1]
    with socket.create_connection(listeners[0].getsockname()[:2]):
        found = [one.getsockname()[1] for one in connection_spread._listeners(port)]
    assert found == [port, port]
    assert connection_spread.spread_connections(port, 2) in ("turn", "port")
    assert connection_spread.spread_connections(port, 1) == "hash"
