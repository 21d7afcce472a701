"""What the demo sends: copies of banked photographs as they come back, and other pictures."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from imageward_bench import photographs
from imageward_bench.edit_suite import EDITS
from imageward_bench.edits import EDITS as PLAIN_EDITS
from imageward_bench.edits import decode
from imageward_bench.negatives import under
from imageward_client import Verdict

SEED = 20
# Of the whole suite, what a person does to a picture before it is sent on.
PARTS = (
    "crop 60 %",
    "crop 20 %",
    "mirrored, turned 20",
    "border 25 %",
    "meme bar",
    "caption",
    "emoji over 20 %",
    "screenshot, dark",
    "half collage",
    "quarter collage",
    "crop 50 % + meme bar + mirror + quality 50",
)
OVERLAYS = ("meme bar", "caption", "emoji", "screenshot, dark")


@dataclass(frozen=True, slots=True)
class Upload:
    """One upload, and what should be said of it.

    Attributes:
        picture: the photograph's name.
        edit: what was done to it.
        image: the bytes that are sent.
        expected: the verdict it should get; None where it is only reported.
    """

    picture: str
    edit: str
    image: bytes
    expected: Verdict | None


def uploads() -> Iterator[Upload]:
    """Make every upload of the demo; the same each time."""
    for name in photographs.BANKED:
        yield from _copies(name)
    for name in photographs.UNRELATED:
        yield Upload(name, "unrelated picture", photographs.read(name), Verdict.ALLOW)
        for overlay in OVERLAYS:
            image = under(overlay, decode(photographs.read(name)))
            yield Upload(name, f"unrelated, the same {overlay}", image, Verdict.ALLOW)
    name = photographs.HARD_NEGATIVE
    yield Upload(name, "right eye of a banked left eye", photographs.read(name), None)


def _copies(name: str) -> Iterator[Upload]:
    original = photographs.read(name)
    yield Upload(name, "same bytes", original, Verdict.BLOCK)
    picture = decode(original)
    for edit, apply in PLAIN_EDITS.items():
        yield Upload(name, edit, apply(picture), Verdict.BLOCK)
    by_name = {edit.name: edit for edit in EDITS}
    for edit in PARTS:
        rng = np.random.default_rng([SEED, zlib.crc32(f"{name}/{edit}".encode())])
        yield Upload(name, edit, by_name[edit].apply(picture, rng), Verdict.BLOCK)
