"""Writes the live codes of segments as one segment: here, or in a process of its own.

A large merge frees and faults memory for seconds. Much of that holds Python's global
lock, so in the process that answers searches it would hold them up; apart, it only
takes a core. `python -m imageward_index.merge FOLDER NAME SOURCE...` is that process:
it reads the manifest, and writes FOLDER/NAME from the segments SOURCE. On its stdin it is
given the keys of all of them, as JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from imageward_index.live_segment import LiveSegment
from imageward_index.manifest import read_manifest
from imageward_index.segment import Segment
from imageward_index.segment_keys import SegmentKeys
from imageward_index.segment_writer import Stamp, write_segment


class _HandedKeys:
    """Keys that the process that asked for the merge has made and found."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._keys = keys

    def make(self, name: str) -> bytes:
        """Return a key that was made already."""
        return self._keys[name]

    def find(self, name: str) -> bytes | None:
        """Return a key."""
        return self._keys.get(name)

    def keep(self, names: Collection[str]) -> None:
        """Refuse: keys are destroyed by who keeps them."""
        raise NotImplementedError(f"{len(names)} keys were handed over, not given away")


def write_merged(
    folder: Path, name: str, live: Sequence[LiveSegment], keys: SegmentKeys | None = None
) -> None:
    """Write what is alive of segments, codes and attachments, as one segment of a folder.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    stamps = [one.segment.stamp for one in live]
    stamp = Stamp(
        stamps[0].hasher_version,
        min(one.revision_first for one in stamps),
        max(one.revision_last for one in stamps),
    )
    write_segment(folder / name, [one.live() for one in live], stamp=stamp, keys=keys)


def merge_apart(
    folder: Path, name: str, sources: Sequence[str], keys: SegmentKeys | None = None
) -> None:
    """Do it in another process, with what the manifest says is withdrawn.

    Raises:
        OSError: that process failed; what it said is in the message.
    """
    command = [sys.executable, "-m", __name__, str(folder), name, *sources]
    handed = json.dumps(None if keys is None else _hand_over(keys, name, sources))
    ended = subprocess.run(command, input=handed, capture_output=True, text=True, check=False)  # noqa: S603 - our own module
    if ended.returncode:
        raise OSError(f"merging segments failed: {ended.stderr.strip()[-2000:]}")


def _hand_over(keys: SegmentKeys, name: str, sources: Sequence[str]) -> dict[str, str]:
    found = {source: key.hex() for source in sources if (key := keys.find(source)) is not None}
    return found | {name: keys.make(name).hex()}


def _handed_keys() -> _HandedKeys | None:
    handed = json.load(sys.stdin)
    if handed is None:
        return None
    return _HandedKeys({name: bytes.fromhex(key) for name, key in handed.items()})


def main() -> None:
    """Merge as the command line says."""
    keys = _handed_keys()
    folder, name, sources = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
    manifest = read_manifest(folder)
    assert manifest is not None, "only named segments are merged"
    dead_ids = dict(zip(manifest.names, manifest.dead_ids, strict=True))
    live = []
    for source in sources:
        live.append(LiveSegment(Segment.open(folder / source, keys=keys)))
        live[-1].withdraw(dead_ids[source])
    write_merged(folder, name, live, keys)


if __name__ == "__main__":
    main()
