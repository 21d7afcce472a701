"""A file encrypted as it streams: AES-256-GCM in chunks, the STREAM construction.

Each chunk of 64 KiB has a nonce of a random prefix, its number, and whether it is the
last: chunks that are swapped, cut off or added do not open. After Hoang, Reyhanitabar,
Rogaway and Vizár, "Online Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance"
(2015). Knows nothing of pictures and cases.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import BinaryIO, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from imageward_server.errors import DataCorrupt

CHUNK_BYTES: Final = 64 * 1024
_MAGIC: Final = b"IWSEAL1\n"
_PREFIX_BYTES: Final = 7
_TAG_BYTES: Final = 16


class SealedWriter:
    """Encrypts what is written to it; no byte reaches the file in clear.

    Args:
        file: where the encrypted bytes go.
        key: 32 bytes, used for this file alone.
    """

    def __init__(self, file: BinaryIO, key: bytes) -> None:
        self._file = file
        self._cipher = AESGCM(key)
        self._prefix = secrets.token_bytes(_PREFIX_BYTES)
        self._pending = bytearray()
        self._number = 0
        file.write(_MAGIC + self._prefix)

    def write(self, data: bytes) -> None:
        """Take the next bytes, any number of them."""
        self._pending += data
        # The last chunk is told apart, so one is held back until more comes.
        while len(self._pending) > CHUNK_BYTES:
            self._seal(bytes(self._pending[:CHUNK_BYTES]), last=False)
            del self._pending[:CHUNK_BYTES]

    def finish(self) -> None:
        """Write the last chunk."""
        self._seal(bytes(self._pending), last=True)
        self._pending.clear()

    def _seal(self, chunk: bytes, *, last: bool) -> None:
        nonce = _nonce(self._prefix, self._number, last=last)
        self._file.write(self._cipher.encrypt(nonce, chunk, _MAGIC))
        self._number += 1


def read_sealed(file: BinaryIO, key: bytes) -> bytes:
    """Decrypt a whole file into memory.

    Raises:
        DataCorrupt: it was changed or cut, or the key is another.
    """
    return b"".join(_chunks(file, key))


def _chunks(file: BinaryIO, key: bytes) -> Iterator[bytes]:
    cipher = AESGCM(key)
    head = file.read(len(_MAGIC) + _PREFIX_BYTES)
    prefix, number = head[len(_MAGIC) :], 0
    sealed = file.read(CHUNK_BYTES + _TAG_BYTES)
    while True:
        following = file.read(CHUNK_BYTES + _TAG_BYTES)
        try:
            yield cipher.decrypt(_nonce(prefix, number, last=not following), sealed, _MAGIC)
        except (InvalidTag, ValueError) as error:
            raise DataCorrupt(
                "an encrypted file was changed or cut, or the key is another"
            ) from error
        if not following:
            return
        sealed, number = following, number + 1


def _nonce(prefix: bytes, number: int, *, last: bool) -> bytes:
    return prefix + number.to_bytes(4, "big") + bytes([last])
