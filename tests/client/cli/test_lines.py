"""The field's text lines are read as they are meant, and written so that they read back."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imageward_client import PdqHash
from imageward_client.cli._lines import (
    LINE_BYTES_MAX,
    HashLine,
    MalformedLine,
    format_line,
    parse_line,
    read_lines,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

HEX = "0f" * 32
LINES = st.builds(
    HashLine,
    st.builds(
        PdqHash,
        st.binary(min_size=32, max_size=32),
        st.none() | st.integers(min_value=0, max_value=100),
    ),
    st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=128)
    | st.from_regex(r"[0-9]{1,3},[a-z ]*", fullmatch=True),
)


@pytest.mark.parametrize(
    ("text", "quality", "reference"),
    [
        (HEX, None, ""),
        (f"  {HEX}  ", None, ""),
        (f"{HEX},", None, ""),
        (f"{HEX},case 17", None, "case 17"),
        (f"{HEX},a,b,c", None, "a,b,c"),
        (f"{HEX},50", None, "50"),
        (f"{HEX},50,a.jpg", 50, "a.jpg"),
        (f"{HEX},50,", 50, ""),
        (f"{HEX},100,a,b.jpg", 100, "a,b.jpg"),
        (f"{HEX},101,a.jpg", None, "101,a.jpg"),
        (f"{HEX},-1,a.jpg", None, "-1,a.jpg"),
        (f"{HEX},5.0,a.jpg", None, "5.0,a.jpg"),
        (f"hash={HEX},norm=128,delta=0,quality=100,filename=f.jpg", 100, "f.jpg"),
        (f"hash={HEX},norm=128,delta=0,quality=100,filename=a,b=c.jpg", 100, "a,b=c.jpg"),
        (f"hash={HEX},quality=7", 7, ""),
        (f"hash={HEX}", None, ""),
        (f"pdq {HEX}", None, ""),
        (f"pdq\t{HEX} ", None, ""),
    ],
)
def test_line_forms(text: str, quality: int | None, reference: str) -> None:
    """Each form of the field is read as the module says."""
    assert parse_line(text) == HashLine(PdqHash.from_hex(HEX, quality), reference)


@pytest.mark.parametrize("text", ["", "   ", "# a comment", f"  #{HEX}"])
def test_skipped_lines(text: str) -> None:
    """Blank lines and comments say nothing and are no mistake."""
    assert parse_line(text) is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (HEX.upper(), "upper case"),
        (HEX[:-1], "63 characters"),
        (f"{HEX}0", "65 characters"),
        ("g" * 64, "lower-case hexadecimal"),
        (f"video_md5 {HEX[:32]}", "only pdq"),
        (f"pdq {HEX},name", "hexadecimal"),
        (f"hash={HEX},quality=abc", "not an integer"),
        (f"hash={HEX},quality=101", "0..100"),
        (f"hash={HEX},oops", "pairs"),
        (f"{HEX},{'x' * 129}", "129 characters"),
        ("not a hash at all", "hexadecimal"),
        ("phash 0123", "only pdq"),
    ],
)
def test_malformed_lines(text: str, why: str) -> None:
    """A line that is none of the forms is refused with a reason that does not repeat it."""
    with pytest.raises(MalformedLine, match=why) as caught:
        parse_line(text)
    assert HEX[:32].lower() not in str(caught.value).lower()


def test_references_can_be_left_out() -> None:
    """Without references a line's metadata is dropped, however long it is."""
    line = parse_line(f"{HEX},{'x' * 500}", references=False)
    assert line == HashLine(PdqHash.from_hex(HEX))


@settings(deadline=None)  # the machine may be shared
@given(LINES)
def test_lines_read_back_the_same(line: HashLine) -> None:
    """What is written of any hash, quality and reference without line breaks reads back."""
    assert _read(format_line(line).encode() + b"\n") == [(1, line)]


@pytest.mark.parametrize("reference", ["two\nlines", "one\r", "a\r\nb"])
def test_reference_with_a_line_break_is_refused(reference: str) -> None:
    """A reference that would break its line is refused and not bent."""
    with pytest.raises(MalformedLine):
        format_line(HashLine(PdqHash.from_hex(HEX), reference))


def test_file_is_read_with_its_oddities() -> None:
    """Byte order marks, both line ends, a missing last one and bad bytes are all met."""
    data = b"\xef\xbb\xbf" + f"{HEX}\r\n\n# note\n".encode() + b"\xff\xfe\n" + f"{HEX},é".encode()
    numbers = [number for number, _ in _read(data)]
    assert numbers == [1, 4, 5]
    good, bad, last = (line for _, line in _read(data))
    assert good == HashLine(PdqHash.from_hex(HEX))
    assert isinstance(bad, MalformedLine)
    assert last == HashLine(PdqHash.from_hex(HEX), "é")


def test_endless_line_is_not_held() -> None:
    """Of a line without an end no more than its bound is read at once, and the next is found."""
    stream = Watched(b"x" * 1_000_000 + b"\n" + HEX.encode() + b"\n")
    (first, malformed), (second, line) = read_lines(stream)
    assert (first, second) == (1, 2)
    assert isinstance(malformed, MalformedLine)
    assert line == HashLine(PdqHash.from_hex(HEX))
    assert max(stream.asked) <= LINE_BYTES_MAX + 1


@pytest.mark.parametrize("length", [LINE_BYTES_MAX, LINE_BYTES_MAX + 1])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_line_bound_is_exact(length: int, end: bytes) -> None:
    """A line of exactly the bound is read whole, and one byte more is over it."""
    text = HEX + "," + "x" * (length - 65)
    lines = list(read_lines(io.BytesIO(text.encode() + end), references=False))
    assert isinstance(lines[0][1], MalformedLine) == (length > LINE_BYTES_MAX)
    assert len(lines) == 1


class Watched(io.BytesIO):
    """A stream that remembers how much was asked of it at once."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.asked: list[int] = []

    def readline(self, size: int | None = -1, /) -> bytes:
        """Reads a line, or its next piece."""
        self.asked.append(size or -1)
        assert size is not None
        assert size > 0
        return super().readline(size)

    def __iter__(self) -> Iterator[bytes]:
        raise AssertionError("lines without a bound")


def _read(data: bytes) -> list[tuple[int, HashLine | MalformedLine]]:
    return list(read_lines(io.BytesIO(data)))
