"""What encrypts segments asks of whoever keeps their keys. It knows no file and no secret."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol


class SegmentKeys(Protocol):
    """The keys of one folder of segments, 32 bytes each, by the file's name."""

    def make(self, name: str) -> bytes:
        """Make the key of a new segment; it is durable when this returns."""

    def find(self, name: str) -> bytes | None:
        """Return the key of a segment; None if there is none, or none any more."""

    def keep(self, names: Collection[str]) -> None:
        """Destroy the keys of all other segments."""
