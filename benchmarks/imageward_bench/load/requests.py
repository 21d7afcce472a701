"""The requests that are sent, made and encoded before anything is timed.

Of every part of a mix a pool of messages is made from a seed. A share of them matches
what the bank holds, and each says how many of its results must be a BLOCK.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imageward.v1 import hash_pb2, match_pb2
from imageward_bench.load.mix import Kind, Mix, Part
from imageward_bench.load.pictures import make_picture

Codes = NDArray[np.uint8]

HASHES_POOL = 4096
BATCHES_POOL = 64
IMAGES_POOL = 40
RADIUS_BITS = 31
# Keeps these random numbers apart from those that a bank of the same seed is filled with.
_SALT = 7

PATHS: dict[Kind, str] = {
    "hash": "/imageward.v1.MatchService/CheckHashes",
    "batch": "/imageward.v1.MatchService/CheckHashes",
    "image": "/imageward.v1.MatchService/CheckImage",
    "hash-stream": "/imageward.v1.MatchService/CheckStream",
    "image-stream": "/imageward.v1.MatchService/CheckStream",
    "echo": "/imageward.bench.Echo/Echo",
}


@dataclass(frozen=True, slots=True)
class Pool:
    """The requests of one part of a mix, sent in turn.

    Attributes:
        kind: the call that carries them.
        items: hashes or images a call.
        messages: encoded requests.
        blocks: of each message, how many of its results must be a BLOCK.
    """

    kind: Kind
    items: int
    messages: tuple[bytes, ...]
    blocks: tuple[int, ...]

    @property
    def path(self) -> str:
        """Where the calls are sent."""
        return PATHS[self.kind]

    @property
    def streams(self) -> bool:
        """Whether they are messages of a stream, or calls of their own."""
        return self.kind.endswith("stream")


@dataclass(frozen=True, slots=True)
class Workload:
    """All that is sent.

    Attributes:
        pools: one a part of the mix.
        shares: of all calls, summing to 1.
        banked_images: pictures that must be banked before, for the expectations to hold.
    """

    pools: tuple[Pool, ...]
    shares: tuple[float, ...]
    banked_images: tuple[bytes, ...]


def make_workload(mix: Mix, banked: Codes, seed: int, others: Sequence[bytes] = ()) -> Workload:
    """Make the requests of a mix.

    Args:
        mix: what is sent.
        banked: uint8 (n, 32), hashes that the bank holds.
        seed: of all choices.
        others: photographs that pictures without a match are cut from; bundled ones if there
            are none.
    """
    images: list[bytes] = []
    pools = [
        _make_pool(part, banked, np.random.default_rng([seed, place, _SALT]), images, others)
        for place, part in enumerate(mix.call)
    ]
    return Workload(tuple(pools), mix.shares, tuple(images))


def _make_pool(
    part: Part,
    banked: Codes,
    rng: np.random.Generator,
    images: list[bytes],
    others: Sequence[bytes],
) -> Pool:
    if part.kind == "echo":
        return Pool(part.kind, 1, (rng.bytes(40),), (0,))
    if part.carries_images:
        made = [_image(part, number, rng, images, others) for number in range(IMAGES_POOL)]
    else:
        size = BATCHES_POOL if part.kind == "batch" else HASHES_POOL
        made = [_hashes(part, banked, rng) for _ in range(size)]
    messages, blocks = zip(*made, strict=True)
    return Pool(part.kind, part.items_per_call, messages, blocks)


def _hashes(part: Part, banked: Codes, rng: np.random.Generator) -> tuple[bytes, int]:
    count = part.items_per_call
    codes = rng.integers(0, 256, (count, 32), np.uint8)
    matching = np.flatnonzero(rng.random(count) < part.matches) if len(banked) else ()
    for row in matching:
        codes[row] = near(banked[rng.integers(len(banked))], RADIUS_BITS, rng)
    hashes = [hash_pb2.PdqHash(pdq=code.tobytes()) for code in codes]
    if part.kind == "hash-stream":
        return match_pb2.CheckStreamRequest(hash=hashes[0]).SerializeToString(), len(matching)
    return match_pb2.CheckHashesRequest(hashes=hashes).SerializeToString(), len(matching)


def near(code: Codes, radius_bits: int, rng: np.random.Generator) -> Codes:
    """Return a code with 0..radius_bits of its bits flipped."""
    bits = np.unpackbits(code)
    bits[rng.choice(len(bits), rng.integers(0, radius_bits + 1), replace=False)] ^= 1
    return np.packbits(bits)


def _image(
    part: Part,
    number: int,
    rng: np.random.Generator,
    images: list[bytes],
    others: Sequence[bytes],
) -> tuple[bytes, int]:
    """Make a request with a picture, and note the picture where it is to be banked."""
    megapixels = part.megapixels[number % len(part.megapixels)]
    # Spread over the pool, so that every size has its share of matches.
    matches = int((number + 1) * part.matches + 1e-9) > int(number * part.matches + 1e-9)
    picture = make_picture(
        megapixels, part.format, part.quality, banked=matches, rng=rng, others=others
    )
    if matches:
        images.append(picture)
    if part.kind == "image-stream":
        return match_pb2.CheckStreamRequest(image=picture).SerializeToString(), int(matches)
    return match_pb2.CheckImageRequest(image=picture).SerializeToString(), int(matches)


def blocks_of(kind: Kind, message: bytes) -> int:
    """Return how many results of an answer are a BLOCK; -1 where it is a refusal."""
    if kind.endswith("stream"):
        answer = match_pb2.CheckStreamResponse.FromString(message)
        return _blocks([answer.result]) if answer.HasField("result") else -1
    if kind == "image":
        return _blocks([match_pb2.CheckImageResponse.FromString(message).result])
    if kind == "echo":
        return 0
    return _blocks(match_pb2.CheckHashesResponse.FromString(message).results)


def _blocks(results: Iterable[match_pb2.CheckResult]) -> int:
    return sum(result.verdict == match_pb2.VERDICT_BLOCK for result in results)
