"""gRPC calls as bare HTTP/2 frames, for senders that must be cheap or must misbehave.

One connection, many calls, no thread: the owner waits for the socket. Frames by RFC 9113,
messages by https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md.
"""

from __future__ import annotations

import enum
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from hpack import Decoder, Encoder, NeverIndexedHeaderTuple


class Kind(enum.IntEnum):
    """The kinds of frames, as they are numbered on the wire."""

    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
ACK = END_STREAM = 1
END_HEADERS = 4
INITIAL_WINDOW_SIZE = 4
WINDOW_DEFAULT = 65_535
WINDOW_MAX = (1 << 31) - 1
FRAME_BYTES = 16_384
READ_BYTES = 1 << 18
HEAD_BYTES = 9
SEND_S_MAX = 5.0


class Answer(NamedTuple):
    """How a call ended: gRPC's status number, or -1 when its stream was reset."""

    stream: int
    status: int


@dataclass(slots=True)
class Outgoing:
    """What is still to be sent of a call's message, and how much the peer takes."""

    body: memoryview
    window: int


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return a frame, whether it makes sense or not."""
    length = struct.pack(">I", len(payload))[1:]
    return length + struct.pack(">BBI", kind, flags, stream) + payload


def settings(**values: int) -> bytes:
    """Return a SETTINGS frame, from identifiers such as `_4` to values."""
    pairs = (struct.pack(">HI", int(name[1:]), value) for name, value in values.items())
    return frame(Kind.SETTINGS, 0, 0, b"".join(pairs))


def window_update(stream: int, bytes_more: int) -> bytes:
    """Return a WINDOW_UPDATE frame."""
    return frame(Kind.WINDOW_UPDATE, 0, stream, struct.pack(">I", bytes_more))


def request_headers(path: str, timeout: str = "5S", **more: str) -> bytes:
    """Return the header block of a call, which may be sent any number of times."""
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": "localhost",
        "te": "trailers",
        "content-type": "application/grpc",
        **({"grpc-timeout": timeout} if timeout else {}),
        **more,
    }
    return header_block(fields)


def header_block(fields: dict[str, str]) -> bytes:
    """Return a header block that depends on no earlier one, so that it may be repeated."""
    return Encoder().encode(NeverIndexedHeaderTuple(*field) for field in fields.items())


def message(body: bytes) -> bytes:
    """Return a message with gRPC's prefix: not compressed, its length."""
    return struct.pack(">BI", 0, len(body)) + body


class Connection:
    """One connection, by default one that behaves.

    Args:
        address: where the server listens.
        source: the address to come from.
        opening: what is sent first.
    """

    def __init__(
        self, address: tuple[str, int], source: str = "127.0.0.1", opening: bytes | None = None
    ) -> None:
        self.socket = socket.create_connection(address, timeout=10, source_address=(source, 0))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(0)
        self.open_calls = 0
        self._next_stream = 1
        self._decoder = Decoder()
        self._outgoing: dict[int, Outgoing] = {}
        self._window = self._stream_window = WINDOW_DEFAULT
        self._in, self._out = bytearray(), bytearray()
        self._headers = bytearray()
        if opening is None:
            opening = PREFACE + settings(_4=WINDOW_MAX)
            opening += window_update(0, WINDOW_MAX - WINDOW_DEFAULT)
        self.send(opening)

    @property
    def wants_to_send(self) -> bool:
        """Whether the socket has not taken everything yet."""
        return bool(self._out)

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()

    def call(self, headers: bytes, body: bytes) -> int:
        """Begin a call, and return its stream."""
        stream = self._next_stream
        self._next_stream += 2
        self.open_calls += 1
        self._out += frame(Kind.HEADERS, END_HEADERS, stream, headers)
        self._outgoing[stream] = Outgoing(memoryview(body), self._stream_window)
        self._send_body(stream)
        self.flush()
        return stream

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._out += data
        self.flush()

    def send_all(self, data: bytes) -> None:
        """Send bytes as they are, and wait until the socket has taken them."""
        self.socket.settimeout(SEND_S_MAX)
        self.socket.sendall(data)
        self.socket.settimeout(0)

    def discard(self) -> None:
        """Throw away what has come."""
        try:
            while self.socket.recv(READ_BYTES):
                pass
        except BlockingIOError:
            return
        raise ConnectionError("closed by the peer")

    def flush(self) -> None:
        """Send as much as the socket takes."""
        try:
            while self._out:
                del self._out[: self.socket.send(self._out)]
        except BlockingIOError:
            pass

    def answers(self) -> Iterator[Answer]:
        """Read what is there; yield the calls that ended.

        Raises:
            ConnectionError: the peer has closed the connection.
        """
        try:
            read = self.socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        if not read:
            raise ConnectionError("closed by the peer")
        self._in += read
        for kind, flags, stream, payload in self._frames():
            yield from self._take(kind, flags, stream, payload)
        self.flush()

    def _frames(self) -> Iterator[tuple[int, int, int, bytes]]:
        begin, taken = 0, self._in
        while len(taken) - begin >= HEAD_BYTES:
            length = int.from_bytes(taken[begin : begin + 3], "big")
            end = begin + HEAD_BYTES + length
            if len(taken) < end:
                break
            kind, flags, stream = struct.unpack_from(">BBI", taken, begin + 3)
            yield kind, flags, stream, bytes(taken[begin + HEAD_BYTES : end])
            begin = end
        del taken[:begin]

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> Iterator[Answer]:
        match kind:
            case Kind.HEADERS | Kind.CONTINUATION:
                self._headers += payload
                if flags & END_HEADERS:
                    fields = dict(self._decoder.decode(bytes(self._headers), raw=True))
                    self._headers.clear()
                    if b"grpc-status" in fields:
                        yield self._ended(stream, int(fields[b"grpc-status"]))
            case Kind.RST_STREAM:
                if stream in self._outgoing:
                    yield self._ended(stream, -1)
            case Kind.SETTINGS if not flags & ACK:
                self._learn(payload)
                self._out += frame(Kind.SETTINGS, ACK, 0)
            case Kind.PING if not flags & ACK:
                self._out += frame(Kind.PING, ACK, 0, payload)
            case Kind.WINDOW_UPDATE:
                self._widen(stream, int.from_bytes(payload, "big"))

    def _ended(self, stream: int, status: int) -> Answer:
        unsent = self._outgoing.pop(stream, None)
        self.open_calls -= 1
        if unsent is not None and unsent.body:
            self._out += frame(Kind.RST_STREAM, 0, stream, struct.pack(">I", 0))
        return Answer(stream, status)

    def _learn(self, payload: bytes) -> None:
        for begin in range(0, len(payload), 6):
            name, value = struct.unpack_from(">HI", payload, begin)
            if name == INITIAL_WINDOW_SIZE:
                for outgoing in self._outgoing.values():
                    outgoing.window += value - self._stream_window
                self._stream_window = value

    def _widen(self, stream: int, bytes_more: int) -> None:
        if stream:
            if stream in self._outgoing:
                self._outgoing[stream].window += bytes_more
                self._send_body(stream)
            return
        self._window += bytes_more
        for waiting in [one for one, outgoing in self._outgoing.items() if outgoing.body]:
            self._send_body(waiting)

    def _send_body(self, stream: int) -> None:
        outgoing = self._outgoing[stream]
        while outgoing.body and (room := min(outgoing.window, self._window, FRAME_BYTES)) > 0:
            part, outgoing.body = outgoing.body[:room], outgoing.body[room:]
            outgoing.window -= len(part)
            self._window -= len(part)
            self._out += frame(Kind.DATA, 0 if outgoing.body else END_STREAM, stream, bytes(part))
