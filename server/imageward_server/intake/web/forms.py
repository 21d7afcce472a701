"""Reads what a form sends: fields in memory, pictures in a stream. Nothing touches a disk.

Starlette's own form reader spools files to a temporary folder in clear, so it is not used.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final
from urllib.parse import parse_qs

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from imageward_server.intake.limits import REQUEST_BYTES_MAX
from imageward_server.intake.refusals import PageRefusal

_FIELDS_BYTES_MAX: Final = 16_384
_FIELDS_MAX: Final = 20
_FIELD_BYTES_MAX: Final = 1024
_HEADER_BYTES_MAX: Final = 4096


async def read_fields(request: Request) -> dict[str, str]:
    """Read a small form without files.

    Raises:
        PageRefusal: it is of another type, or over its bound.
    """
    kind, _ = parse_options_header(request.headers.get("content-type"))
    if kind != b"application/x-www-form-urlencoded":
        raise PageRefusal("form_unreadable", 415)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _FIELDS_BYTES_MAX:
            raise PageRefusal("form_unreadable", 413)
    try:
        fields = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=_FIELDS_MAX)
    except ValueError as error:
        raise PageRefusal("form_unreadable") from error
    return {name: values[0] for name, values in fields.items()}


class Part:
    """One part of a form with files, as it streams.

    Attributes:
        name: the field's.
        has_file: whether it is a file; one without a name was not chosen.
        data: what came since it was looked at.
        ended: whether it is whole.
    """

    def __init__(self) -> None:
        self.name = ""
        self.has_file = False
        self.data = bytearray()
        self.ended = False


async def read_parts(request: Request) -> AsyncIterator[Part]:
    """Yield each part of a form with files whenever some of it has come.

    A part is yielded again until it has `ended`; who takes it clears its data.

    Raises:
        PageRefusal: it is of another type, torn, or over 256,000,000 bytes.
    """
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind != b"multipart/form-data" or b"boundary" not in options:
        raise PageRefusal("form_unreadable", 415)
    reader = _PartReader(options[b"boundary"])
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > REQUEST_BYTES_MAX:
            raise PageRefusal("request_too_large", 413)
        for part in reader.feed(chunk):
            yield part
    reader.finish()


class _PartReader:
    """Turns the parser's callbacks into parts."""

    def __init__(self, boundary: bytes) -> None:
        self._touched: list[Part] = []
        self._part = Part()
        self._header: tuple[bytearray, bytearray] = (bytearray(), bytearray())
        self._whole = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._take_header_name,
                "on_header_value": self._take_header_value,
                "on_header_end": self._end_header,
                "on_part_data": self._take_data,
                "on_part_end": self._end,
                "on_end": self._end_all,
            },
        )

    def feed(self, chunk: bytes) -> list[Part]:
        """Return the parts that some of came."""
        self._touched = []
        try:
            self._parser.write(chunk)
        except MultipartParseError as error:
            raise PageRefusal("form_unreadable") from error
        return self._touched

    def finish(self) -> None:
        if not self._whole:
            raise PageRefusal("form_unreadable")

    def _begin(self) -> None:
        self._part = Part()

    def _take_header_name(self, data: bytes, start: int, end: int) -> None:
        self._grow(self._header[0], data[start:end])

    def _take_header_value(self, data: bytes, start: int, end: int) -> None:
        self._grow(self._header[1], data[start:end])

    def _end_header(self) -> None:
        name, value = self._header
        if name.lower() == b"content-disposition":
            _, options = parse_options_header(bytes(value))
            self._part.name = options.get(b"name", b"").decode("utf-8", "replace")
            self._part.has_file = bool(options.get(b"filename"))
        self._header = (bytearray(), bytearray())

    def _take_data(self, data: bytes, start: int, end: int) -> None:
        self._part.data += data[start:end]
        self._touch()

    def _end(self) -> None:
        self._part.ended = True
        self._touch()

    def _end_all(self) -> None:
        self._whole = True

    def _touch(self) -> None:
        part = self._part
        if not part.has_file and len(part.data) > _FIELD_BYTES_MAX:
            raise PageRefusal("form_unreadable", 413)
        if part not in self._touched:
            self._touched.append(part)

    @staticmethod
    def _grow(text: bytearray, more: bytes) -> None:
        text += more
        if len(text) > _HEADER_BYTES_MAX:
            raise PageRefusal("form_unreadable", 413)
