"""Codes and queries for the index benchmark, the same for every engine and seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.uint8]

KINDS = ("uniform", "natural", "clustered")

NATURAL_FLIPS = 64
"""Bits flipped in a photograph's hash: it is another picture then, with the same bias."""

CLUSTER_FLIPS = 4
"""Most bits flipped in a video frame's hash: another frame of the same shot."""

_STRETCH = 1 << 18

_SHARED = Path(__file__).parents[2].parent / "shared" / "data" / "hashes"


class NoData(Exception):
    """The hashes that a kind of data is made from are not beside the checkout."""


def make_codes(kind: str, count: int, width_bits: int, rng: np.random.Generator) -> Codes:
    """Make codes.

    Args:
        kind: "uniform" for independent bits; "natural" for hashes of photographs,
            repeated far apart; "clustered" for hashes of video frames, repeated closely.
        count: how many.
        width_bits: 64 or 256.
        rng: the source of chance.

    Returns:
        uint8 (count, width_bits / 8).

    Raises:
        NoData: the hashes for natural or clustered data are absent.
    """
    if kind == "uniform":
        return rng.integers(0, 256, (count, width_bits // 8), np.uint8)
    name, flips = ("haystack", NATURAL_FLIPS) if kind == "natural" else ("clustered", CLUSTER_FLIPS)
    seeds = _read_hashes(f"{name}.txt")[:, : width_bits // 8]
    codes = seeds[rng.integers(0, len(seeds), count)]
    for first in range(0, count, _STRETCH):
        stretch = codes[first : first + _STRETCH]
        stretch ^= _sparse(stretch.shape, flips * width_bits // 256, rng)
    return codes


def make_queries(codes: Codes, count: int, radius: int, rng: np.random.Generator) -> Codes:
    """Make queries: every other one lies 0..radius bits from a code, the rest are uniform."""
    queries = rng.integers(0, 256, (count, codes.shape[1]), np.uint8)
    for row in range(0, count, 2):
        queries[row] = codes[rng.integers(len(codes))]
        bits = rng.choice(codes.shape[1] * 8, rng.integers(0, radius + 1), replace=False)
        np.bitwise_xor.at(queries[row], bits // 8, (1 << bits % 8).astype(np.uint8))
    return queries


def _sparse(shape: tuple[int, ...], most: int, rng: np.random.Generator) -> Codes:
    """Return masks with at most `most` bits set, drawn with repeats."""
    masks = np.zeros(shape, np.uint8)
    rows = np.arange(shape[0])
    for _ in range(most):
        bits = rng.integers(0, shape[1] * 8, shape[0])
        masks[rows, bits // 8] |= (1 << bits % 8).astype(np.uint8)
    return masks


def _read_hashes(name: str) -> Codes:
    """Read a file of hashes, one of 64 hex digits a line."""
    path = _SHARED / name
    if not path.exists():
        raise NoData(f"{name} is not in the evaluation data beside the checkout")
    return np.frombuffer(bytes.fromhex(path.read_text()), np.uint8).reshape(-1, 32)
