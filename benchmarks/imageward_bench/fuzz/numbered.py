"""Spoiled files by number: the same seed and number give the same file, in every process."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from random import Random
from typing import NamedTuple

from imageward_bench.fuzz.mutations import mutated

BANKED_SHARE = 0.05


class Spoiled(NamedTuple):
    """One file.

    Attributes:
        extension: of the format that it was.
        data: the file.
        banked: whether it is fingerprinted for a bank, and not looked at for a check.
    """

    extension: str
    data: bytes
    banked: bool


class Numbered:
    """All files of a seed.

    Args:
        seed: any number.
        whole: what is spoiled, by format.
    """

    def __init__(self, seed: int, whole: Mapping[str, Sequence[bytes]]) -> None:
        self._seed = seed
        self._whole = whole
        self._extensions = list(whole)

    def __getitem__(self, number: int) -> Spoiled:
        """Make one of them."""
        rng = Random(f"{self._seed} {number}")
        extension = rng.choice(self._extensions)
        whole = self._whole[extension]
        data = mutated(rng.choice(whole), rng, whole)
        return Spoiled(extension, data, rng.random() < BANKED_SHARE)

    def pack(self) -> bytes:
        """Write it for another process."""
        sizes = {extension: [len(file) for file in made] for extension, made in self._whole.items()}
        head = json.dumps({"seed": self._seed, "sizes": sizes}).encode()
        return b"\n".join((head, b"".join(file for made in self._whole.values() for file in made)))

    @classmethod
    def unpack(cls, data: bytes) -> Numbered:
        """Read what `pack` wrote."""
        head, _, rest = data.partition(b"\n")
        told, at = json.loads(head), 0
        whole: dict[str, list[bytes]] = {}
        for extension, sizes in told["sizes"].items():
            whole[extension] = []
            for size in sizes:
                whole[extension].append(rest[at : at + size])
                at += size
        return cls(told["seed"], whole)
