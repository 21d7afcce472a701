"""Images made to hurt a decoder: bombs, lies and torn files of every format, by code.

`FAMILIES` names them all; each is a function that makes one file, the same every time.
"""

from __future__ import annotations

from collections.abc import Callable

from imageward_bench.hostile import bmp, gif, isobmff, jpeg, png, tiff, webp

FAMILIES: dict[str, Callable[[], bytes]] = {
    f"{module.__name__.rpartition('.')[2]} {name}": make
    for module in (jpeg, png, webp, gif, isobmff, tiff, bmp)
    for name, make in module.FAMILIES.items()
}
"""Name, which begins with the format, to maker."""
