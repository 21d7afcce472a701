"""Compiles what searches and sealing need before the first of them waits for it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from imageward_index.block import Block
from imageward_index.index import Index
from imageward_index.segment import RADIUS_MAX, Segment
from imageward_index.segment_writer import Stamp, write_segment
from imageward_index.slices import Plan


def warm_up() -> None:
    """Compile every kernel that writing and searching need, or load it from numba's cache.

    Seals small segments in a temporary folder, since only a mapped file has exactly the
    arrays that the kernels will be given.
    """
    generator = np.random.default_rng(0)
    with tempfile.TemporaryDirectory(prefix="imageward-") as folder:
        for width_bits in RADIUS_MAX:
            codes = generator.integers(0, 256, (64, width_bits // 8), np.uint8)
            attachments = dict.fromkeys(range(len(codes)), b"")
            block = Block(np.arange(len(codes)), codes, attachments)
            _search_segment(Path(folder) / "warm_up", block)
            _search_tail(block)


def _search_segment(path: Path, block: Block) -> None:
    """Seal a few codes, and ask for them in every way."""
    count, width_bytes = block.codes.shape
    plan = Plan(width_bits=8 * width_bytes, slices=4, slice_bits=8)
    write_segment(path, [block], stamp=Stamp("", 0, 0), plan=plan)
    segment = Segment.open(path, hasher_version="")
    segment.search(block.codes, np.full(count, 3), segment.all_alive())
    segment.attachment(None, 0)


def _search_tail(block: Block) -> None:
    """Add a few codes to an index, and search them."""
    index = Index(8 * block.codes.shape[1], attachments=True)
    index.add(*block)
    index.search(block.codes, 3)
