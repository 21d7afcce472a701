"""One HTTP/2 connection as a state machine: calls in, bytes out; bytes in, answers out.

Knows no socket and no clock. Keeps the server's limits: streams at once, bytes of a
frame, both windows of flow control.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from imageward_bench.load import http2

STATUS_OK = 0
STATUS_UNAVAILABLE = 14
# What we have read is credited to the server in portions of this many bytes.
CREDIT_BYTES = 1 << 20
STREAM_ID_MAX = 2**31 - 1
_PREFIX = struct.Struct(">BI")


class Answer(NamedTuple):
    """What came back for a call, or for one message of a stream.

    Attributes:
        key: the caller's own number of it.
        status: gRPC's number of the status.
        message: the response's bytes, empty unless the status is OK; else what was said.
    """

    key: int
    status: int
    message: bytes


class ProtocolError(Exception):
    """The server sent what this client does not read; the message says what."""


@dataclass(slots=True)
class _Stream:
    """A call under way. A long one has many keys, answered in order."""

    keys: deque[int]
    window: int
    long: bool
    unsent: deque[memoryview] = field(default_factory=deque)
    received: bytearray = field(default_factory=bytearray)
    uncredited: int = 0


class Connection:
    """Carries calls over one connection.

    Args:
        shared: headers of every request, ":authority" first.
    """

    def __init__(self, shared: Sequence[tuple[str, str]]) -> None:
        self.out = bytearray(http2.PREFACE)
        self.out += http2.settings(
            {
                http2.HEADER_TABLE_SIZE: 0,
                http2.ENABLE_PUSH: 0,
                http2.INITIAL_WINDOW_SIZE: http2.WINDOW_BYTES_MAX,
            }
        )
        self.out += http2.window_update(0, http2.WINDOW_BYTES_MAX - http2.WINDOW_BYTES_DEFAULT)
        self.leaving = False
        self._headers = http2.RequestHeaders(shared)
        self._trailers = http2.Trailers()
        self._streams: dict[int, _Stream] = {}
        self._waiting: deque[tuple[int, str, bytes]] = deque()
        self._next_id = 1
        self._long: _Stream | None = None
        self._long_id = 0
        self._window = http2.WINDOW_BYTES_DEFAULT
        self._stream_window = http2.WINDOW_BYTES_DEFAULT
        self._frame_bytes = http2.FRAME_BYTES_DEFAULT
        self._streams_max = STREAM_ID_MAX
        self._uncredited = 0
        self._unread = b""
        self._block, self._block_ends = b"", False
        self._answers: list[Answer] = []

    def call(self, key: int, path: str, message: bytes) -> None:
        """Send a unary call, or keep it until the server allows another stream."""
        if len(self._streams) >= self._streams_max:
            self._waiting.append((key, path, message))
        else:
            self._begin(path, key, message, long=False)

    def send(self, key: int, path: str, message: bytes) -> None:
        """Send a message on the connection's one long stream, opened by the first."""
        if self._long is None:
            self._long = self._begin(path, key, message, long=True)
            self._long_id = self._next_id - 2
            return
        self._long.keys.append(key)
        self._write(self._long_id, self._long, message)

    def cancel(self, keys: Collection[int]) -> None:
        """Give unary calls up, without an answer; the server is told to stop."""
        self._waiting = deque(one for one in self._waiting if one[0] not in keys)
        for stream_id, stream in list(self._streams.items()):
            if not stream.long and stream.keys[0] in keys:
                del self._streams[stream_id]
                code = http2.CANCEL.to_bytes(4, "big")
                self.out += http2.frame(http2.RST_STREAM, 0, stream_id, code)
        self._begin_waiting()

    def finish(self) -> None:
        """End our side of the long stream, if there is one."""
        if self._long is not None:
            self.out += http2.frame(http2.DATA, http2.END_STREAM, self._long_id, b"")
            self._long = None

    def fail_all(self, status: int, reason: str) -> list[Answer]:
        """Answer every open call with a status: the connection is lost."""
        self.leaving = True
        for stream_id in list(self._streams):
            self._end(stream_id, status, reason)
        while self._waiting:
            key, _, _ = self._waiting.popleft()
            self._answers.append(Answer(key, status, reason.encode()))
        return self._take_answers()

    def receive(self, data: bytes) -> list[Answer]:
        """Take bytes from the server; return what they complete.

        Raises:
            ProtocolError: they are not what this client reads.
        """
        data = self._unread + data if self._unread else data
        at, end = 0, len(data)
        while end - at >= http2.FRAME_HEADER_BYTES:
            length = int.from_bytes(data[at : at + 3], "big")
            start = at + http2.FRAME_HEADER_BYTES
            if end - start < length:
                break
            stream = int.from_bytes(data[at + 5 : start], "big") & STREAM_ID_MAX
            self._on_frame(data[at + 3], data[at + 4], stream, data[start : start + length])
            at = start + length
        self._unread = data[at:]
        return self._take_answers()

    def _take_answers(self) -> list[Answer]:
        answers, self._answers = self._answers, []
        return answers

    def _begin(self, path: str, key: int, message: bytes, *, long: bool) -> _Stream:
        stream_id, self._next_id = self._next_id, self._next_id + 2
        stream = _Stream(deque((key,)), self._stream_window, long)
        self._streams[stream_id] = stream
        self.out += http2.frame(
            http2.HEADERS, http2.END_HEADERS, stream_id, self._headers.block(path)
        )
        self._write(stream_id, stream, message)
        return stream

    def _write(self, stream_id: int, stream: _Stream, message: bytes) -> None:
        stream.unsent.append(memoryview(_PREFIX.pack(0, len(message)) + message))
        self._flush(stream_id, stream)

    def _flush(self, stream_id: int, stream: _Stream) -> None:
        """Send as much of a stream's messages as both windows allow."""
        while stream.unsent:
            rest = stream.unsent[0]
            count = min(len(rest), self._frame_bytes, self._window, stream.window)
            if count <= 0:
                return
            last = count == len(rest)
            flags = http2.END_STREAM if last and not stream.long else 0
            self.out += http2.frame_head(count, http2.DATA, flags, stream_id)
            self.out += rest[:count]
            self._window -= count
            stream.window -= count
            if last:
                stream.unsent.popleft()
            else:
                stream.unsent[0] = rest[count:]

    def _on_frame(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        if kind in (http2.DATA, http2.HEADERS) and flags & http2.PADDED_OR_PRIORITY:
            raise ProtocolError(f"a padded frame of kind {kind} came; it is not read here")
        match kind:
            case http2.DATA:
                self._on_data(flags, stream_id, payload)
            case http2.HEADERS | http2.CONTINUATION:
                self._on_headers(kind, flags, stream_id, payload)
            case http2.RST_STREAM:
                status = http2.STATUS_OF_RESET.get(http2.number(payload), http2.STATUS_INTERNAL)
                self._end(stream_id, status, "the stream was reset")
            case http2.WINDOW_UPDATE:
                self._on_window(stream_id, http2.number(payload))
            case http2.PING if not flags & http2.ACK:
                self.out += http2.frame(http2.PING, http2.ACK, 0, payload)
            case http2.SETTINGS if not flags & http2.ACK:
                self._on_settings(http2.read_settings(payload))
            case http2.GOAWAY:
                self._on_goaway(http2.number(payload) & STREAM_ID_MAX)

    def _on_data(self, flags: int, stream_id: int, payload: bytes) -> None:
        self._uncredited += len(payload)
        if self._uncredited >= CREDIT_BYTES:
            self.out += http2.window_update(0, self._uncredited)
            self._uncredited = 0
        stream = self._streams.get(stream_id)
        if stream is None:
            return
        stream.received += payload
        if stream.long:
            self._answer_messages(stream_id, stream, len(payload))
        if flags & http2.END_STREAM:
            self._end(stream_id, http2.STATUS_INTERNAL, "the answer has no status")

    def _answer_messages(self, stream_id: int, stream: _Stream, count: int) -> None:
        """Answer the keys of a long stream whose messages are whole."""
        stream.uncredited += count
        if stream.uncredited >= CREDIT_BYTES:
            self.out += http2.window_update(stream_id, stream.uncredited)
            stream.uncredited = 0
        received, at = stream.received, 0
        while len(received) - at >= _PREFIX.size:
            end = at + _PREFIX.size + int.from_bytes(received[at + 1 : at + 5], "big")
            if end > len(received):
                break
            message = bytes(received[at + _PREFIX.size : end])
            self._answers.append(Answer(stream.keys.popleft(), STATUS_OK, message))
            at = end
        del received[:at]

    def _on_headers(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        if kind == http2.HEADERS:
            self._block, self._block_ends = payload, bool(flags & http2.END_STREAM)
        else:
            self._block += payload
        if self._block_ends and flags & http2.END_HEADERS:
            status, said = self._trailers.read(self._block)
            self._end(stream_id, status, said)

    def _end(self, stream_id: int, status: int, said: str) -> None:
        """Answer what a stream still owes, and begin what waited for its place."""
        stream = self._streams.pop(stream_id, None)
        if stream is None:
            return
        if stream is self._long:
            self._long = None
        message = bytes(stream.received[_PREFIX.size :]) if status == STATUS_OK else said.encode()
        self._answers += [Answer(key, status, message) for key in stream.keys]
        self._begin_waiting()

    def _begin_waiting(self) -> None:
        while self._waiting and not self.leaving and len(self._streams) < self._streams_max:
            key, path, message = self._waiting.popleft()
            self._begin(path, key, message, long=False)

    def _on_window(self, stream_id: int, count: int) -> None:
        if stream_id:
            stream = self._streams.get(stream_id)
            if stream is not None:
                stream.window += count
                self._flush(stream_id, stream)
            return
        self._window += count
        for waiting_id, stream in self._streams.items():
            if stream.unsent:
                self._flush(waiting_id, stream)

    def _on_settings(self, told: dict[int, int]) -> None:
        self.out += http2.frame(http2.SETTINGS, http2.ACK, 0, b"")
        self._streams_max = told.get(http2.MAX_CONCURRENT_STREAMS, self._streams_max)
        self._frame_bytes = told.get(http2.MAX_FRAME_SIZE, self._frame_bytes)
        window = told.get(http2.INITIAL_WINDOW_SIZE, self._stream_window)
        more, self._stream_window = window - self._stream_window, window
        for stream_id, stream in self._streams.items():
            stream.window += more
            self._flush(stream_id, stream)

    def _on_goaway(self, last_id: int) -> None:
        """Answer what the server will not; what it took it still finishes."""
        self.leaving = True
        for stream_id in [one for one in self._streams if one > last_id]:
            self._end(stream_id, STATUS_UNAVAILABLE, "the server is leaving")
        while self._waiting:
            key, _, _ = self._waiting.popleft()
            self._answers.append(Answer(key, STATUS_UNAVAILABLE, b"the server is leaving"))
