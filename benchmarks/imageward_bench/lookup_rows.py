"""What the lookups benchmark found out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LookupRow:
    """Lookups in a bank of one size; times in milliseconds a picture.

    Attributes:
        images: pictures banked.
        codes: their regional codes.
        segments: sealed files they lie in.
        first_ms: the first pass, median and 99th percentile.
        all_ms: every pass, likewise.
        first_cpu_ms: the processor time of the first pass, likewise: on a busy machine
            the others hold the waiting too.
        all_cpu_ms: likewise of every pass.
        first_hits: codes that the first pass finds, the mean.
        all_hits: likewise of every pass.
        code_bytes_an_image: of the files, without attachments.
        attachment_bytes_an_image: the rest.
        build_s: from codes to searchable, files durable.
        peak_gb: memory of the process at most while it built, mapped files with it.
    """

    images: int
    codes: int
    segments: int
    first_ms: tuple[float, float]
    all_ms: tuple[float, float]
    first_cpu_ms: tuple[float, float]
    all_cpu_ms: tuple[float, float]
    first_hits: float
    all_hits: float
    code_bytes_an_image: float
    attachment_bytes_an_image: int
    build_s: float
    peak_gb: float
