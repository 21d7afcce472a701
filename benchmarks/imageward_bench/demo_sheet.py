"""The demo's contact sheet: what was sent, and what came back, as one picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt

from imageward_bench.edits import decode
from imageward_client import Verdict

COLUMNS = 6
TILE_INCHES = 2.4
TILE_PIXELS = 360
# Told apart by hue and by lightness, so that no one needs colour to read them.
FRAMES = {
    Verdict.BLOCK: "#b2182b",
    Verdict.REVIEW: "#ef8a62",
    Verdict.ALLOW: "#2166ac",
    Verdict.INCONCLUSIVE: "#777777",
}


class Tile(NamedTuple):
    """One upload: its bytes, what was done to it, what was said of it, and by what."""

    image: bytes
    edit: str
    verdict: Verdict
    found_by: str


def draw(tiles: Sequence[Tile], path: Path) -> None:
    """Draw the tiles in rows, each in the colour of its verdict, into a PNG."""
    rows = -(-len(tiles) // COLUMNS)
    size = (COLUMNS * TILE_INCHES, rows * (TILE_INCHES + 0.35))
    figure, axes = plt.subplots(rows, COLUMNS, figsize=size, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for tile, axis in zip(tiles, axes.flat, strict=False):
        picture = decode(tile.image)
        scale = min(1.0, TILE_PIXELS / max(picture.shape[:2]))
        small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        axis.imshow(cv2.cvtColor(small, cv2.COLOR_BGR2RGB))
        axis.set_axis_on()
        axis.set_xticks([])
        axis.set_yticks([])
        for side in axis.spines.values():
            side.set(color=FRAMES[tile.verdict], linewidth=4)
        title = tile.edit if len(tile.edit) <= 30 else tile.edit.replace(" + ", "\n+ ", 1)  # noqa: PLR2004 characters of a line
        axis.set_title(title, fontsize=8)
        said = f"{tile.verdict}\n{tile.found_by}"
        axis.set_xlabel(said, fontsize=9, fontweight="bold", color=FRAMES[tile.verdict])
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
