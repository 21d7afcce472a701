"""Recall by edit and false blocks by kind of negative, over any folder of photographs.

1. Bank every photograph of the bank's folder, edit some of them, look every edit up.
2. Bank half of them, and some under every overlay; look up pictures that are not among
   them: the other half, a folder of negatives, the same overlays on other pictures, and
   pictures that are none.

What is drawn is drawn from the seed, and each edit of each photograph has its own.
"""

from __future__ import annotations

import statistics
import time
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from imageward_bench import negatives
from imageward_bench.edit_engines import Engine, Imageward
from imageward_bench.edit_suite import EDITS, Edit
from imageward_bench.edits import decode, jpeg

OVERLAID_BANKED = 25
MADE_UP_OF_EACH = 8


@dataclass(slots=True)
class Tally:
    """What one engine did with one kind of upload.

    Attributes:
        sent: uploads.
        found: blocked for the picture they are an edit of.
        wrong: blocked for another.
        doubtful: not blocked, but named to a reviewer (imageward only).
        times_ms: time of each, decoding included.
        coverages: of what was found by parts (imageward only).
        distances_bits: of what was found by its hash (imageward only).
    """

    sent: int = 0
    found: int = 0
    wrong: int = 0
    doubtful: int = 0
    times_ms: list[float] = field(default_factory=list)
    coverages: list[float] = field(default_factory=list)
    distances_bits: list[int] = field(default_factory=list)

    @property
    def recall(self) -> float:
        """Share found, 0..1."""
        return self.found / self.sent if self.sent else 0.0


@dataclass(slots=True)
class Highest:
    """Of one kind of negatives, the finding that came nearest to a block."""

    coverage: float = 0.0
    doubtful: int = 0


def edited(
    images: Sequence[bytes], chosen: Iterable[int], seed: int
) -> Iterator[tuple[Edit, int, bytes]]:
    """Make every edit of every chosen image."""
    for number in chosen:
        picture = decode(images[number])
        for edit in EDITS:
            rng = np.random.default_rng([seed, number, zlib.crc32(edit.name.encode())])
            yield edit, number, edit.apply(picture, rng)


def measure_recall(
    engine: Engine, images: Sequence[bytes], chosen: Sequence[int], seed: int
) -> dict[str, Tally]:
    """Look up every edit of the chosen among all that the engine has banked."""
    tallies: dict[str, Tally] = defaultdict(Tally)
    for edit, number, upload in edited(images, chosen, seed):
        _count(tallies[edit.name], engine, upload, number)
    return dict(tallies)


def measure_false_blocks(
    engine: Imageward, images: Sequence[bytes], others: Sequence[bytes], *, overlaid: int, seed: int
) -> tuple[dict[str, Tally], dict[str, Highest], int]:
    """Look up what is not banked; the tallies count every block as wrong.

    Returns:
        Tallies and nearest findings by kind, and how many images were banked.
    """
    half = len(images) // 2
    banked, unknown = list(images[:half]), [*images[half:], *others]
    banked += [
        image for _, image in negatives.overlaid([decode(i) for i in banked[:OVERLAID_BANKED]])
    ]
    engine.bank(banked)
    tallies: dict[str, Tally] = defaultdict(Tally)
    highest: dict[str, Highest] = defaultdict(Highest)
    for kind, upload in _unknown(unknown, overlaid, seed):
        _count(tallies[kind], engine, upload, None)
        for finding in engine.answer.findings:
            highest[kind].coverage = max(highest[kind].coverage, finding.coverage or 0.0)
            highest[kind].doubtful += not finding.certain
    return dict(tallies), dict(highest), len(banked)


def median_ms(tallies: dict[str, Tally]) -> float:
    """The median time of an upload."""
    return statistics.median(ms for tally in tallies.values() for ms in tally.times_ms)


def _unknown(unknown: Sequence[bytes], overlaid: int, seed: int) -> Iterator[tuple[str, bytes]]:
    for image in unknown:
        yield "plain", image
    yield from negatives.overlaid([decode(image) for image in unknown[:overlaid]])
    for kind, picture in negatives.made_up(np.random.default_rng(seed), MADE_UP_OF_EACH):
        yield kind, jpeg(picture)


def _count(tally: Tally, engine: Engine, upload: bytes, expected: int | None) -> None:
    begun = time.perf_counter()
    found = engine.find(upload)
    tally.times_ms.append((time.perf_counter() - begun) * 1000)
    tally.sent += 1
    tally.found += found is not None and found == expected
    tally.wrong += found is not None and found != expected
    if isinstance(engine, Imageward):
        tally.doubtful += found is None and any(
            one.entry_id == expected for one in engine.answer.findings
        )
        for one in engine.answer.findings:
            if one.coverage is not None:
                tally.coverages.append(one.coverage)
            elif one.distance_bits is not None:
                tally.distances_bits.append(one.distance_bits)
