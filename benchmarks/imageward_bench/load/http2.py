"""Frames and header blocks of HTTP/2, as far as a gRPC client needs them.

Owns the bytes and knows no sockets and no calls. Sources: RFC 9113 (frames), RFC 7541
(header compression), PROTOCOL-HTTP2.md of gRPC.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from urllib.parse import unquote

from hpack import Decoder
from hpack.hpack import encode_integer

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FRAME_HEADER_BYTES = 9
FRAME_BYTES_DEFAULT = 16_384
WINDOW_BYTES_DEFAULT = 65_535
WINDOW_BYTES_MAX = 2**31 - 1

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    0x0, 0x1, 0x3, 0x4, 0x6, 0x7, 0x8, 0x9,
)  # fmt: skip
END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED_OR_PRIORITY = 0x8 | 0x20

HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = (
    0x1, 0x2, 0x3, 0x4, 0x5,
)  # fmt: skip

CANCEL = 0x8
# gRPC's statuses for the error codes of a stream that was reset; others are INTERNAL.
STATUS_OF_RESET = {0x7: 14, 0x8: 1, 0xB: 8, 0xC: 7}
STATUS_INTERNAL = 13
STATUS_UNKNOWN = 2

# Index 62 is the newest entry of the dynamic table.
_NEWEST_INDEX = 62
_POST, _SCHEME_HTTP = b"\x83", b"\x86"
_PATH_NAME, _LITERAL_INDEXED = b"\x04", b"\x40"
_HEAD = struct.Struct(">HBBBI")
_SETTING = struct.Struct(">HI")


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """Return a frame."""
    return frame_head(len(payload), kind, flags, stream) + payload


def frame_head(length: int, kind: int, flags: int, stream: int) -> bytes:
    """Return the nine bytes before a frame's payload."""
    return _HEAD.pack(length >> 8, length & 0xFF, kind, flags, stream)


def settings(values: dict[int, int]) -> bytes:
    """Return a frame that tells the server our settings."""
    return frame(SETTINGS, 0, 0, b"".join(_SETTING.pack(*one) for one in values.items()))


def read_settings(payload: bytes) -> dict[int, int]:
    """Return the settings that a server tells."""
    return dict(_SETTING.iter_unpack(payload))


def number(payload: bytes) -> int:
    """Return the first 32 bits of a payload."""
    return int.from_bytes(payload[:4], "big")


def window_update(stream: int, count: int) -> bytes:
    """Return a frame that allows the server so many bytes more."""
    return frame(WINDOW_UPDATE, 0, stream, count.to_bytes(4, "big"))


class RequestHeaders:
    """Header blocks of the requests on one connection.

    The first block puts what all requests share into the server's table, each later
    one names those entries by a byte each: as a real client's connection does.

    Args:
        shared: names and values that every request has; ":authority" first.
    """

    def __init__(self, shared: Sequence[tuple[str, str]]) -> None:
        self._first = b"".join(
            _LITERAL_INDEXED + _string(name) + _string(value) for name, value in shared
        )
        newest = _NEWEST_INDEX + len(shared) - 1
        self._later = bytes(0x80 | (newest - place) for place in range(len(shared)))
        self._sent = False

    def block(self, path: str) -> bytes:
        """Return the next request's block; blocks must be sent in the order they are made."""
        shared = self._later if self._sent else self._first
        self._sent = True
        return _POST + _SCHEME_HTTP + _PATH_NAME + _string(path) + shared


def _string(text: str) -> bytes:
    return bytes(encode_integer(len(text), 7)) + text.encode()


class Trailers:
    """Reads gRPC's status from the last header block of an answer.

    We tell servers to keep no table for us, so a block means the same wherever it
    stands, and one that was seen before need not be decoded again.
    """

    _BLOCKS_KEPT = 1024

    def __init__(self) -> None:
        self._seen: dict[bytes, tuple[int, str]] = {}

    def read(self, block: bytes) -> tuple[int, str]:
        """Return the status and the message; UNKNOWN where there is none."""
        found = self._seen.get(block)
        if found is None:
            if len(self._seen) >= self._BLOCKS_KEPT:
                self._seen.clear()
            found = self._seen[block] = self._decode(block)
        return found

    def _decode(self, block: bytes) -> tuple[int, str]:
        fields = {str(name): str(value) for name, value in Decoder().decode(block)}
        if "grpc-status" not in fields:
            return STATUS_UNKNOWN, f"HTTP status {fields.get(':status', 'absent')}"
        return int(fields["grpc-status"]), unquote(fields.get("grpc-message", ""))
