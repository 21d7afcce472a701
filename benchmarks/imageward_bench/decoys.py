"""Entries that crowd a bank: made of real regional codes, of no picture.

A decoy has 248 codes with their frames, each drawn from those of all photographs and with
every bit turned at a chance of one in five: 13 bits away in the mean, so that the codes
keep the real distribution and some come near an upload's by chance. Its grid is a real
photograph's, its hash a real one with a quarter of the bits turned. Each is drawn from
the seed and its own number, so that it needs no memory but its codes in the index.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from imageward_index.box import WHOLE_IMAGE
from imageward_index.fingerprint import Fingerprint, RegionalPart
from imageward_index.pdq import HASH_BITS, PdqHash
from imageward_index.regions import BANK_CODES_MAX, CODE_BITS, Regions

CODE_FLIP = 0.2
HASH_FLIP = 0.25
QUALITY = 100


class Decoys:
    """As many decoys as are asked for, by number."""

    def __init__(self, real: Sequence[Fingerprint], seed: int) -> None:
        self._real = [one for one in real if one.regional is not None]
        parts = [one.regional.regions for one in self._real if one.regional is not None]
        self._codes = np.concatenate([part.codes for part in parts])
        self._frames = np.concatenate([part.frames for part in parts])
        self._seed = seed

    def fingerprint(self, number: int) -> Fingerprint:
        """Make a decoy."""
        rng = np.random.default_rng([self._seed, number])
        rows = rng.integers(0, len(self._codes), BANK_CODES_MAX)
        codes = self._codes[rows] ^ _turned_bits(rng, BANK_CODES_MAX, CODE_BITS, CODE_FLIP)
        model = self._real[int(rng.integers(len(self._real)))]
        assert model.regional is not None
        regions = model.regional.regions
        part = RegionalPart(
            WHOLE_IMAGE,
            Regions(regions.width, regions.height, codes.ravel(), self._frames[rows]),
            model.regional.grid,
        )
        turned = _turned_bits(rng, 1, HASH_BITS, HASH_FLIP).view(np.uint8).ravel()
        code = np.frombuffer(model.whole.code, np.uint8) ^ turned
        return Fingerprint(PdqHash(code.tobytes(), QUALITY), part)


def _turned_bits(rng: Generator, count: int, width_bits: int, chance: float) -> NDArray[np.uint64]:
    """(count * words,) of bits that are set at a chance."""
    bits = rng.integers(0, 256, (count, width_bits), dtype=np.uint8) < chance * 256
    return np.packbits(bits, axis=1, bitorder="little").view(np.uint64).ravel()
