"""Beside recall over one bank: large uploads, crowded banks, neighbours, and what a look costs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.random import Generator

from imageward_bench import photographs
from imageward_bench.decoys import Decoys
from imageward_bench.edit_engines import Imageward
from imageward_bench.edit_run import Tally, measure_recall
from imageward_bench.edit_suite import EDITS
from imageward_bench.edits import Picture, decode, jpeg
from imageward_index.answer import FAST, THOROUGH
from imageward_index.decode import decode_grey
from imageward_index.pdq import hash_grey
from imageward_index.picture import fingerprint_image, open_picture

GRAIN_SIGMA = 3.0
LARGE_EDITS = ("JPEG quality 30", "crop 50 %", "crop 20 %", "mirrored", "meme bar", "turned 10")
QUALITY = 85


@dataclass(slots=True)
class Costs:
    """Processor time by what is looked at, in milliseconds; medians and 95th percentiles.

    Attributes:
        uploads: how many.
        bank_ms: to decode an image and take its fingerprint.
        fast_ms: what a fast look at an unrelated picture takes beyond decoding, hashing the
            whole, and searching.
        thorough_ms: the same with every pass.
        hash_bits: how far the hash from the reduced decode is from that of all pixels.
    """

    uploads: int
    bank_ms: tuple[float, float]
    fast_ms: tuple[float, float]
    thorough_ms: tuple[float, float]
    hash_bits: int


@dataclass(slots=True)
class More:
    """What these measurements found out.

    Attributes:
        costs: by size, as they are or in megapixels.
        large: tallies by megapixels.
        crowded: by how many decoys: mean recall over all edits, false blocks, and uploads.
        neighbours: which pictures of the same scene were blocked for one another.
    """

    costs: dict[str, Costs] = field(default_factory=dict)
    large: dict[str, Tally] = field(default_factory=dict)
    crowded: dict[int, tuple[float, int, int]] = field(default_factory=dict)
    neighbours: dict[str, bool] = field(default_factory=dict)


def enlarged(picture: Picture, megapixels: float, rng: Generator) -> Picture:
    """Enlarge a picture, and give it grain, so that it is as dear to decode as a real one."""
    scale = (megapixels * 1e6 / (picture.shape[0] * picture.shape[1])) ** 0.5
    large = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    grain = rng.normal(0, GRAIN_SIGMA, (*large.shape[:2], 1))
    return (large + grain).clip(0, 255).astype(np.uint8)


def measure_large(
    engine: Imageward, images: Sequence[bytes], chosen: Sequence[int], megapixels: float, seed: int
) -> Tally:
    """Edit enlarged photographs, and look them up."""
    tally = Tally()
    edits = [edit for edit in EDITS if edit.name in LARGE_EDITS]
    for number in chosen:
        rng = np.random.default_rng([seed, number])
        picture = enlarged(decode(images[number]), megapixels, rng)
        for edit in edits:
            found = engine.find(edit.apply(picture, rng))
            tally.sent += 1
            tally.found += found == number
            tally.wrong += found not in {None, number}
    return tally


def measure_costs(engine: Imageward, uploads: Sequence[bytes]) -> Costs:
    """Time looks at pictures that are not banked: the common case, in which every pass runs."""
    bank, fast, thorough, bits = [], [], [], 0
    for upload in uploads:
        begun = time.thread_time()
        fingerprint_image(upload)
        bank.append((time.thread_time() - begun) * 1000)
        engine.find(upload, FAST)
        fast.append(engine.extra_ms)
        engine.find(upload, THOROUGH)
        thorough.append(engine.extra_ms)
        full = np.frombuffer(hash_grey(decode_grey(upload)).code, np.uint8)
        reduced = open_picture(upload).whole.codes[0]
        bits = max(bits, int(np.bitwise_count(full ^ reduced).sum()))
    return Costs(len(uploads), _told(bank), _told(fast), _told(thorough), bits)


def measure_crowded(
    engine: Imageward,
    images: Sequence[bytes],
    others: Sequence[bytes],
    chosen: Sequence[int],
    count: int,
    seed: int,
) -> tuple[float, int, int]:
    """Look up every edit of some photographs, and strangers, in a bank crowded by decoys."""
    engine.crowd(Decoys(engine.fingerprints, seed), count)
    tallies = measure_recall(engine, images, chosen, seed)
    wrong = sum(tally.wrong for tally in tallies.values())
    wrong += sum(engine.find(other) is not None for other in others)
    sent = sum(tally.sent for tally in tallies.values()) + len(others)
    return statistics.fmean(tally.recall for tally in tallies.values()), wrong, sent


def measure_neighbours(seed: int) -> dict[str, bool]:
    """Bank one picture of a scene, send its neighbour: another eye's, another moment's."""
    engine = Imageward()
    engine.bank([photographs.read("motorcycle_left.png")])
    stereo = engine.find(photographs.read(photographs.HARD_NEGATIVE)) is not None
    rng = np.random.default_rng(seed)
    burst = {}
    for name in photographs.BANKED[:4]:
        picture = decode(photographs.read(name))
        engine.bank([jpeg(picture, QUALITY)])
        burst[f"burst of {name}"] = engine.find(jpeg(_a_moment_later(picture, rng))) is not None
    return {"stereo pair": stereo, **burst}


def _a_moment_later(picture: Picture, rng: Generator) -> Picture:
    """Move every part a little its own way, as a hand-held second picture of a scene has it."""
    rows, columns = picture.shape[:2]
    waves = rng.normal(0, 0.012 * columns, (2, 4, 6)).astype(np.float32)
    across, down = (
        cv2.resize(wave, (columns, rows), interpolation=cv2.INTER_CUBIC) for wave in waves
    )
    xs, ys = np.meshgrid(np.arange(columns), np.arange(rows))
    moved = cv2.remap(
        picture,
        (xs + across).astype(np.float32),
        (ys + down).astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT,
    )
    return (moved + rng.normal(0, GRAIN_SIGMA, moved.shape)).clip(0, 255).astype(np.uint8)


def _told(values: Sequence[float]) -> tuple[float, float]:
    return statistics.median(values), float(np.percentile(values, 95))
