"""The field's PDQ text lines, read and written.

Read is, a line each, with `hex` for 64 lower-case hexadecimal digits:

    hex                                     a hash
    hex,metadata                            with the list's own words about it
    hex,quality,name                        what hashers print: an integer 0..100, a comma,
                                            and a name that may be empty
    hash=hex,norm=..,delta=..,quality=..,filename=name
    pdq hex                                 a signal line

`hex,50` has metadata `50` and no quality; `hex,50,a.jpg` has quality 50 and name
`a.jpg`; `hex,150,a.jpg` has metadata `150,a.jpg`. Metadata and names become the
entry's reference. Blank lines and lines that start with `#` are skipped. Nothing
here knows a server, and no message repeats a line.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from imageward_client._limits import QUALITY_MAX, REFERENCE_CHARACTERS_MAX
from imageward_client._types import PdqHash
from imageward_client.errors import InvalidHash

if TYPE_CHECKING:
    from collections.abc import Iterator

LINE_BYTES_MAX = 8_192
_BOM = b"\xef\xbb\xbf"
_SIGNAL = re.compile(r"([A-Za-z]\w*)[ \t]+(\S+)\s*")
_HASHED = re.compile(r"([0-9]{1,3}),(.*)", re.DOTALL)


class MalformedLine(ValueError):
    """A line is none of the forms; its message says why and does not repeat it."""


@dataclass(frozen=True, slots=True)
class HashLine:
    """What a line says: a hash and the reference that goes with it."""

    hash: PdqHash
    reference: str = ""


def read_lines(
    stream: BinaryIO, *, references: bool = True
) -> Iterator[tuple[int, HashLine | MalformedLine]]:
    """Yields each line's number, from 1, and what it says or why it says nothing.

    Lines are read one at a time, and no more than `LINE_BYTES_MAX` of one.

    Args:
        stream: bytes, UTF-8, with or without a byte order mark.
        references: whether metadata is kept.
    """
    for number, raw in enumerate(_raw_lines(stream), start=1):
        try:
            line = parse_line(_text(raw), references=references)
        except MalformedLine as malformed:
            yield number, malformed
            continue
        if line is not None:
            yield number, line


def parse_line(text: str, *, references: bool = True) -> HashLine | None:
    """Returns what a line says; None for a blank line or a comment.

    Raises:
        MalformedLine: it is none of the forms.
    """
    text = text.lstrip()
    if not text or text.startswith("#"):
        return None
    line = _parsed(text)
    if not references:
        return HashLine(line.hash)
    if len(line.reference) > REFERENCE_CHARACTERS_MAX:
        raise MalformedLine(
            f"The metadata has {len(line.reference)} characters; at most"
            f" {REFERENCE_CHARACTERS_MAX} are kept. Shorten it, or leave references out."
        )
    return line


def format_line(line: HashLine) -> str:
    """Returns the shortest form that is read back as the same.

    Raises:
        MalformedLine: there is none, because the reference breaks the line.
    """
    for form in _forms(line):
        if list(read_lines(io.BytesIO(form.encode() + b"\n"))) == [(1, line)]:
            return form
    raise MalformedLine("The reference does not fit a line: it holds a line break.")


def _forms(line: HashLine) -> Iterator[str]:
    digits, quality, name = line.hash.hex, line.hash.quality, line.reference
    pairs = "" if quality is None else f",quality={quality}"
    if quality is None:
        yield f"{digits},{name}" if name else digits
    elif name:
        yield f"{digits},{quality},{name}"
    yield f"hash={digits}{pairs},filename={name}" if name else f"hash={digits}{pairs}"


def _parsed(text: str) -> HashLine:
    if text.startswith("hash="):
        return _parsed_pairs(text)
    signal = _SIGNAL.fullmatch(text)
    if signal:
        return _parsed_signal(signal[1], signal[2])
    digits, _, metadata = text.partition(",")
    hashed = _HASHED.fullmatch(metadata)
    if hashed and int(hashed[1]) <= QUALITY_MAX:
        return HashLine(_hash(digits, int(hashed[1])), hashed[2])
    return HashLine(_hash(digits, None), metadata)


def _parsed_signal(kind: str, digits: str) -> HashLine:
    if kind != "pdq":
        raise MalformedLine("It is a signal of another type; only pdq is read.")
    return HashLine(_hash(digits, None))


def _parsed_pairs(text: str) -> HashLine:
    # The name comes last and may hold commas of its own.
    head, _, name = text.partition(",filename=")
    pairs = dict(_pair(part) for part in head.split(","))
    quality = pairs.get("quality")
    if quality is not None and not re.fullmatch(r"[0-9]{1,3}", quality.strip()):
        raise MalformedLine(f"Its quality is not an integer 0..{QUALITY_MAX}.")
    return HashLine(_hash(pairs["hash"], None if quality is None else int(quality)), name)


def _pair(part: str) -> tuple[str, str]:
    name, equals, value = part.partition("=")
    if not equals:
        raise MalformedLine("It starts as name=value pairs and does not go on so.")
    return name.strip(), value


def _hash(digits: str, quality: int | None) -> PdqHash:
    digits = digits.strip()
    try:
        return PdqHash.from_hex(digits, quality)
    except InvalidHash as invalid:
        if digits != digits.lower():
            raise MalformedLine("Its digits are upper case; only lower case is read.") from None
        raise MalformedLine(str(invalid)) from None


def _text(raw: bytes) -> str:
    if len(raw) > LINE_BYTES_MAX:
        raise MalformedLine(f"It has more than {LINE_BYTES_MAX:,} bytes.")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise MalformedLine("It is not UTF-8.") from None


def _raw_lines(stream: BinaryIO) -> Iterator[bytes]:
    """Yields lines without their ends; of a line that is too long only its head."""
    first = True
    while raw := stream.readline(LINE_BYTES_MAX + 1):
        if len(raw) > LINE_BYTES_MAX and not raw.endswith(b"\n"):
            _skip_line(stream)
        yield (raw.removeprefix(_BOM) if first else raw).rstrip(b"\r\n")
        first = False


def _skip_line(stream: BinaryIO) -> None:
    while rest := stream.readline(LINE_BYTES_MAX):
        if rest.endswith(b"\n"):
            return
