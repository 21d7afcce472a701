"""A secret for every segment of a folder of the index, in a file each.

A segment holds the codes of entries that are erased later, and a copy of it may be
anywhere. So each has a key of its own, which goes when it is written anew without them.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Collection
from pathlib import Path
from typing import Final

from imageward_server.keys.durable import shred, sync_folder, write_durably

SECRET_BYTES: Final = 32
"""Of a segment's secret."""


class SegmentSecrets:
    """What `imageward_index.segment_keys.SegmentKeys` asks for.

    Args:
        folder: where the secrets are; made if it is missing.
        root: 32 bytes that every key is made from.
    """

    def __init__(self, folder: Path, root: bytes) -> None:
        self._folder = folder
        self._root = root
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def make(self, name: str) -> bytes:
        """Make the key of a new segment; it is durable when this returns."""
        secret = secrets.token_bytes(SECRET_BYTES)
        write_durably(self._folder / name, secret)
        sync_folder(self._folder)
        return self._key(secret, name)

    def find(self, name: str) -> bytes | None:
        """Return the key of a segment; None if there is none, or none any more."""
        try:
            secret = (self._folder / name).read_bytes()
        except FileNotFoundError:
            return None
        return self._key(secret, name) if len(secret) == SECRET_BYTES and any(secret) else None

    def keep(self, names: Collection[str]) -> None:
        """Destroy the keys of all other segments."""
        gone = [path for path in self._folder.iterdir() if path.name not in names]
        for path in gone:
            shred(path)
        if gone:
            sync_folder(self._folder)

    def _key(self, secret: bytes, name: str) -> bytes:
        return hmac.digest(self._root, secret + name.encode(), hashlib.sha256)
