"""A key for every entry, made from the store's key and a secret of the entry's own.

The secrets stand in one file, 32 random bytes each, at 32 times the entry's serial: 320 MB
for ten million. Zeros are a secret that was never made, ones a secret that was destroyed:
an entry that should have one and has not is an error, and never an erased one. The first
place, whose serial no entry has, counts how many were destroyed, so that a store that was
put back to an older state is noticed. A secret never crosses a sector of the disk, so
none is ever half written.

Those who write come one after the other: who makes secrets holds the store's writing
transaction, and who destroys them is the one process that erases.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from imageward_index.entry_id import SERIAL_MAX, runs_of
from imageward_server.errors import DataCorrupt

SECRET_BYTES: Final = 32
_NEVER_MADE: Final = bytes(SECRET_BYTES)
_ONES: Final = 255
_DESTROYED: Final = bytes([_ONES]) * SECRET_BYTES
# The file grows by so many secrets at a time: 1 MiB.
_GROWTH: Final = 1 << 15
_COUNT: Final = struct.Struct("<Q")
_SERIAL: Final = struct.Struct("<Q")


class EntryKeys:
    """The keys of a store's entries by serial. Safe under concurrent use, of processes too.

    Args:
        file: the secrets; made if it is missing.
        root: 32 bytes that every key is made from.
    """

    def __init__(self, file: Path, root: bytes) -> None:
        self._root = root
        self._file = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._path = file
        self._secrets = np.empty((0, SECRET_BYTES), np.uint8)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    @property
    def destroyed(self) -> int:
        """How many secrets were ever destroyed, or more: never fewer."""
        count: int = _COUNT.unpack(os.pread(self._file, _COUNT.size, 0).ljust(8, b"\0"))[0]
        return count

    def make(self, serials: Sequence[int]) -> None:
        """Make a secret for each serial, in the place of what is there; durable on return."""
        self._grow(max(serials))
        for first, count in runs_of(sorted(serials)):
            self._write(first, secrets.token_bytes(count * SECRET_BYTES))
        os.fdatasync(self._file)

    def destroy(self, serials: Sequence[int]) -> None:
        """Overwrite the secrets of serials; durable on return. What is destroyed stays so."""
        asked = np.asarray(serials, np.int64)
        left = asked[~self.are_destroyed(asked)].tolist()
        if not left:
            return
        self._grow(max(left))
        # Counted first: a count that is too high makes the next start look, and no more.
        os.pwrite(self._file, _COUNT.pack(self.destroyed + len(left)), 0)
        os.fdatasync(self._file)
        for first, count in runs_of(sorted(left)):
            self._write(first, _DESTROYED * count)
        os.fdatasync(self._file)

    def are_destroyed(self, serials: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell for each serial, int64 (n,), whether its secret was destroyed."""
        kept = self._secrets_of(serials)
        found: NDArray[np.bool_] = np.all(kept == _ONES, axis=1)
        return found

    def has(self, serial: int) -> bool:
        """Tell whether a serial has a secret, or had one."""
        return bool(np.any(self._secrets_of(np.array([serial]))))

    def keys_of(self, serials: Sequence[int]) -> list[bytes | None]:
        """Return the key of each serial, 32 bytes; None where the secret is destroyed.

        Raises:
            DataCorrupt: one was never made: the file is older than the store.
        """
        joined = self._secrets_of(np.asarray(serials, np.int64)).tobytes()
        places = range(0, len(joined), SECRET_BYTES)
        return [
            self._key(joined[at : at + SECRET_BYTES], serial)
            for at, serial in zip(places, serials, strict=True)
        ]

    def _key(self, secret: bytes, serial: int) -> bytes | None:
        if secret == _DESTROYED:
            return None
        if secret == _NEVER_MADE:
            raise DataCorrupt(
                "an entry has no key: the folder of the keys is older than the store; stop the "
                "server and put back its newest copy"
            )
        return hmac.digest(self._root, secret + _SERIAL.pack(serial), hashlib.sha256)

    def _secrets_of(self, serials: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Copy the secrets of serials, uint8 (n, 32); zeros where the file has none."""
        if len(serials) and serials.max() >= len(self._secrets):
            self._secrets = self._map()
        known = serials < len(self._secrets)
        found = np.zeros((len(serials), SECRET_BYTES), np.uint8)
        found[known] = self._secrets[serials[known]]
        return found

    def _map(self) -> NDArray[np.uint8]:
        count = os.fstat(self._file).st_size // SECRET_BYTES
        if not count:
            return np.empty((0, SECRET_BYTES), np.uint8)
        mapped = np.memmap(self._path, np.uint8, mode="r", shape=(count, SECRET_BYTES))
        return np.asarray(mapped)

    def _grow(self, serial: int) -> None:
        assert 1 <= serial <= SERIAL_MAX, serial
        size = os.fstat(self._file).st_size
        needed = -(-(serial + 1) // _GROWTH) * _GROWTH * SECRET_BYTES
        if needed > size:
            os.posix_fallocate(self._file, size, needed - size)
            os.fsync(self._file)

    def _write(self, first: int, data: bytes) -> None:
        written = os.pwrite(self._file, data, first * SECRET_BYTES)
        assert written == len(data), "the space was taken before"
