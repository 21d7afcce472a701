"""What the index benchmark measures, and what it found out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Case:
    """What is measured: so many codes of a kind, searched at a radius."""

    n: int
    width: int
    radius: int
    data: str


@dataclass(frozen=True, slots=True)
class Row:
    """One engine's result in one case.

    Attributes:
        engine: its name, and the setting where it has several.
        median_us: of single calls.
        p99_us: of single calls.
        qps: single calls a second, from the median.
        batch_qps: queries a second in batches of 128.
        recall: found within the radius, of what is there; 1 is complete.
        bytes_per_code: of the file or the memory.
        build_s: from codes to searchable.
    """

    engine: str
    n: int
    width: int
    radius: int
    data: str
    median_us: float
    p99_us: float
    qps: float
    batch_qps: float
    recall: float
    bytes_per_code: float
    build_s: float
