"""The manifest of a folder of segments: which files count, up to which revision.

It is one sealed file, replaced whole by a rename, so that whoever reads it sees one
state of the folder: the one before, or the one after. A segment that it does not name
is a crash's, or about to be named.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imageward_index.sealed_file import ArrayShape, open_sealed, sealing

FILE_NAME = "manifest"


@dataclass(frozen=True, slots=True)
class Origin:
    """What the codes of a folder are a copy of: codes of another origin do not count.

    Attributes:
        store_id: the store they come from.
        hasher_version: the hasher that made them.
        width_bits: bits a code.
    """

    store_id: str
    hasher_version: str
    width_bits: int


@dataclass(frozen=True, slots=True, eq=False)
class Manifest:
    """One state of a folder.

    Attributes:
        origin: what the codes are a copy of.
        revision: the last change of the store that is in the segments.
        names: the segments' files.
        dead_ids: of each segment, the ids that are withdrawn, int64.
    """

    origin: Origin
    revision: int
    names: tuple[str, ...]
    dead_ids: tuple[NDArray[np.int64], ...]


def read_manifest(folder: Path) -> Manifest | None:
    """Read the manifest of a folder; None where there is none.

    Raises:
        SegmentCorrupt: it is damaged.
        SegmentIncompatible: it is of another format.
    """
    path = folder / FILE_NAME
    if not path.exists():
        return None
    header, arrays = open_sealed(path)
    ends = np.cumsum(header["dead_counts"], dtype=np.int64)[:-1]
    dead_ids = np.split(np.array(arrays["dead_ids"]), ends) if header["names"] else []
    origin = Origin(*header["origin"])
    return Manifest(origin, header["revision"], tuple(header["names"]), tuple(dead_ids))


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Put a manifest in the place of the one before; durable when this returns.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    counts = [len(ids) for ids in manifest.dead_ids]
    shapes = {"dead_ids": ArrayShape("<i8", sum(counts))}
    with sealing(folder / FILE_NAME, shapes) as draft:
        draft.header = {
            "origin": list(astuple(manifest.origin)),
            "revision": manifest.revision,
            "names": list(manifest.names),
            "dead_counts": counts,
        }
        if counts:
            draft.arrays["dead_ids"][:] = np.concatenate(manifest.dead_ids)
