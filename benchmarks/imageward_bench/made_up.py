"""Fingerprints of images that do not exist, with regional codes like those of photographs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from imageward_bench.load.pictures import OTHERS_FROM
from imageward_bench.lookup_data import RealCodes, Source
from imageward_bench.photographs import BANKED, UNRELATED, bank_half, read
from imageward_index.fingerprint import Fingerprint, RegionalPart
from imageward_index.pdq import PdqHash
from imageward_index.picture import fingerprint_image


class MadeUp:
    """Makes fingerprints up: a photograph's windows and places, and codes of many recombined.

    Args:
        photos: folder of photographs, of which every other one is taken; None: those that
            scikit-image bundles. None is taken that a benchmark sends as another picture: a
            code that was made up from its own would be near it.
    """

    def __init__(self, photos: Path | None) -> None:
        images = bank_half(photos) if photos else _bundled()
        self._parts = [part for part in map(_regional, images) if part is not None]
        codes = [part.regions.codes for part in self._parts]
        pictures = np.repeat(np.arange(len(codes)), [len(one) for one in codes])
        self._source = Source(RealCodes(np.concatenate(codes), pictures))

    def fingerprints(
        self, wholes: Sequence[PdqHash], rng: np.random.Generator
    ) -> Iterator[Fingerprint]:
        """Make a fingerprint up for each hash of a whole image."""
        chosen = [self._parts[i] for i in rng.integers(0, len(self._parts), len(wholes))]
        ends = np.cumsum([len(part.regions) for part in chosen])
        codes = np.split(self._source.make(int(ends[-1]), rng), ends[:-1])
        for whole, part, own in zip(wholes, chosen, codes, strict=True):
            regions = replace(part.regions, codes=own)
            yield Fingerprint(whole, replace(part, regions=regions))


def _bundled() -> list[bytes]:
    return [read(name) for name in (*BANKED, *UNRELATED) if name not in OTHERS_FROM]


def _regional(image: bytes) -> RegionalPart | None:
    """Return the regional part of an image's fingerprint; None where nothing stands out."""
    part = fingerprint_image(image).regional
    return part if part is not None and len(part.regions) else None
