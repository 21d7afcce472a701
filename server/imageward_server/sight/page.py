"""Numbers in memory that one process changes and another reads.

A page says itself what its numbers are, so that its reader may be of another version, as
a supervisor is after its workers were restarted with new code:

    0   magic, 8 bytes
    8   bytes of the description; 0 until the page is whole
    16  the description: JSON, a list of metrics with the label values of their series
    ... the numbers: float64 of the machine, in the order of the description

Each number is written by one aligned store, so a reader sees the old or the new one, and a
process that is killed leaves what it had counted.
"""

from __future__ import annotations

import json
import math
import mmap
import struct
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Final, NamedTuple

from imageward_server.sight.catalogue import Family, Kind

PAGE_BYTES: Final = 1 << 20
"""Room of a page; what is not written takes no memory."""

_MAGIC: Final = b"IWPAGE01"
_HEADER: Final = struct.Struct("=8sQ")
_NUMBER_BYTES: Final = 8


class PageUnreadable(ValueError):
    """A page is not whole, or not one."""


class Series(NamedTuple):
    """One metric with all combinations of its label values, which are known beforehand."""

    family: Family
    values: Sequence[tuple[str, ...]]


class Sample(NamedTuple):
    """One series as it was read.

    Attributes:
        family: the metric.
        values: the label values.
        numbers: one; of a histogram the counts of its classes, then the sum.
    """

    family: Family
    values: tuple[str, ...]
    numbers: tuple[float, ...]


class Page:
    """Writes a page. Whoever changes numbers holds `lock`.

    Args:
        memory: shared memory of `PAGE_BYTES`, which this page keeps.
        series: what is counted.
    """

    def __init__(self, memory: mmap.mmap, series: Sequence[Series]) -> None:
        described = json.dumps([_described(one) for one in series]).encode()
        begin = _begin_of_numbers(len(described))
        self.lock = threading.Lock()
        self._places: dict[tuple[str, tuple[str, ...]], int] = {}
        count = 0
        for family, values in series:
            for one in values:
                self._places[family.name, one] = count
                count += _width(family)
        if begin + count * _NUMBER_BYTES > len(memory):
            raise ValueError(f"{count} numbers do not fit into a page of {len(memory)} bytes")
        self.numbers = memoryview(memory)[begin : begin + count * _NUMBER_BYTES].cast("d")
        _clear(self.numbers, series)
        memory[_HEADER.size : _HEADER.size + len(described)] = described
        _HEADER.pack_into(memory, 0, _MAGIC, len(described))

    def place(self, family: Family, *values: str) -> int:
        """Find where the first number of a series is."""
        return self._places[family.name, values]

    def put(self, place: int, number: float) -> None:
        """Set a number."""
        with self.lock:
            self.numbers[place] = number

    def add(self, place: int, number: float = 1.0) -> None:
        """Raise a number."""
        with self.lock:
            self.numbers[place] += number


def read_page(memory: mmap.mmap) -> Iterator[Sample]:
    """Read what a page has now; gauges that nobody has set yet are left out.

    Raises:
        PageUnreadable: it is not whole, or not one.
    """
    magic, described_bytes = _HEADER.unpack_from(memory, 0)
    if magic != _MAGIC or not described_bytes:
        raise PageUnreadable("the page is not whole")
    try:
        described = json.loads(memory[_HEADER.size : _HEADER.size + described_bytes])
        yield from _samples(memory, described, _begin_of_numbers(described_bytes))
    except (KeyError, TypeError, ValueError, struct.error) as error:
        raise PageUnreadable("the page's description is not one") from error


def _samples(
    memory: mmap.mmap, described: Sequence[dict[str, object]], place: int
) -> Iterator[Sample]:
    for one in described:
        family, series = _family(one)
        form = struct.Struct(f"={_width(family)}d")
        for values in series:
            numbers = form.unpack_from(memory, place)
            place += form.size
            if all(map(math.isfinite, numbers)):
                yield Sample(family, tuple(values), numbers)


def _described(series: Series) -> dict[str, object]:
    return {**asdict(series.family), "series": [list(values) for values in series.values]}


def _family(described: dict[str, object]) -> tuple[Family, list[list[str]]]:
    fields = dict(described)
    series = fields.pop("series")
    assert isinstance(series, list)
    family = Family(
        name=str(fields["name"]),
        kind=Kind(str(fields["kind"])),
        meaning=str(fields["meaning"]),
        labels=tuple(fields["labels"]),  # type: ignore[arg-type]
        buckets=tuple(fields["buckets"]),  # type: ignore[arg-type]
    )
    return family, series


def _width(family: Family) -> int:
    """Count the numbers of a series: of a histogram its classes, infinity's, and the sum."""
    return len(family.buckets) + 2 if family.kind is Kind.HISTOGRAM else 1


def _begin_of_numbers(described_bytes: int) -> int:
    return -(-(_HEADER.size + described_bytes) // _NUMBER_BYTES) * _NUMBER_BYTES


def _clear(numbers: memoryview[float], series: Sequence[Series]) -> None:
    """Begin counters with 0, and what nobody has looked at yet with no number."""
    place = 0
    for family, values in series:
        unset = family.kind in (Kind.GAUGE, Kind.AGE)
        for _ in range(len(values) * _width(family)):
            numbers[place] = math.nan if unset else 0.0
            place += 1
