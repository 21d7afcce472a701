"""How an entry's codes stand in the store: as they are, or each under its entry's key.

A hash and a fingerprint are encrypted with AES-256-GCM under the key of their entry, which
is never used for another: so the nonce says which of the two it is, and nothing else. An
entry whose key is destroyed has no codes any more, whatever the store still says.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from imageward_index.entry_id import SERIAL_MAX
from imageward_index.pdq import HASH_BYTES
from imageward_server.errors import DataCorrupt
from imageward_server.keys.entry_keys import EntryKeys

TAG_BYTES: Final = 16
SEALED_HASH_BYTES: Final = HASH_BYTES + TAG_BYTES
ERASED: Final = b""
"""What stands in the place of an erased hash."""


class Kind(enum.Enum):
    """What of an entry is encrypted, and its nonce."""

    HASH = bytes(11) + b"\1"
    FINGERPRINT = bytes(11) + b"\2"


class Codes(Protocol):
    """Between the values of entries and the columns that keep them."""

    def prepare(self, entry_ids: Sequence[int]) -> None:
        """Get ready to seal codes of new entries, before the transaction ends."""

    def seal(self, kind: Kind, values: Iterable[tuple[int, bytes]]) -> list[bytes]:
        """Return what to store of entries, given by id."""

    def open(self, kind: Kind, stored: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
        """Yield entries' values; those that are erased are left out.

        Raises:
            DataCorrupt: what is stored was changed.
        """

    def destroy(self, entry_ids: Sequence[int]) -> None:
        """Make what is stored of entries unreadable, in every copy of it."""

    @property
    def destroyed(self) -> int:
        """How many entries were ever destroyed, or more."""

    def digest(self, contents: bytes) -> bytes:
        """Condense a request, which has codes in it, to 32 bytes."""


class ClearCodes:
    """Keeps codes as they are."""

    def prepare(self, entry_ids: Sequence[int]) -> None:
        """Do nothing: see `Codes`."""

    def seal(self, kind: Kind, values: Iterable[tuple[int, bytes]]) -> list[bytes]:
        """Return the values."""
        del kind
        return [value for _, value in values]

    def open(self, kind: Kind, stored: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
        """Yield what is there."""
        del kind
        return (pair for pair in stored if pair[1] != ERASED)

    def destroy(self, entry_ids: Sequence[int]) -> None:
        """Do nothing: copies cannot be reached."""

    @property
    def destroyed(self) -> int:
        """Return none: nothing counts them."""
        return 0

    def digest(self, contents: bytes) -> bytes:
        """Return the SHA-256."""
        return hashlib.sha256(contents).digest()


class SealedCodes:
    """Encrypts codes. Safe under concurrent use.

    Args:
        keys: of the entries, by serial.
        request_key: 32 bytes, for digests of requests.
    """

    def __init__(self, keys: EntryKeys, request_key: bytes) -> None:
        self._keys = keys
        self._request_key = request_key

    def prepare(self, entry_ids: Sequence[int]) -> None:
        """Make the keys of new entries; durable on return."""
        self._keys.make(_serials(entry_ids))

    def seal(self, kind: Kind, values: Iterable[tuple[int, bytes]]) -> list[bytes]:
        """Encrypt values, each with 16 bytes more, under keys that `prepare` made."""
        pairs = list(values)
        keys = self._keys.keys_of(_serials([entry_id for entry_id, _ in pairs]))
        sealed = []
        for (entry_id, value), key in zip(pairs, keys, strict=True):
            assert key is not None, "a code is sealed once its key is made"
            sealed.append(AESGCM(key).encrypt(kind.value, value, _place(entry_id)))
        return sealed

    def open(self, kind: Kind, stored: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
        """Decrypt; see `Codes`."""
        pairs = [pair for pair in stored if pair[1] != ERASED]
        keys = self._keys.keys_of(_serials([entry_id for entry_id, _ in pairs]))
        for (entry_id, sealed), key in zip(pairs, keys, strict=True):
            if key is None:
                continue
            try:
                yield entry_id, AESGCM(key).decrypt(kind.value, sealed, _place(entry_id))
            except (InvalidTag, ValueError) as error:
                raise DataCorrupt(
                    "the store holds a code that does not open with its entry's key; "
                    "stop the server, and put the store and its keys back together"
                ) from error

    def destroy(self, entry_ids: Sequence[int]) -> None:
        """Destroy the entries' keys; durable on return."""
        self._keys.destroy(_serials(entry_ids))

    @property
    def destroyed(self) -> int:
        """Return how many keys were ever destroyed, or more."""
        return self._keys.destroyed

    def digest(self, contents: bytes) -> bytes:
        """Return a digest that tells nothing to who lacks the key (HMAC-SHA-256)."""
        return hmac.digest(self._request_key, contents, hashlib.sha256)


def _serials(entry_ids: Sequence[int]) -> list[int]:
    return [entry_id & SERIAL_MAX for entry_id in entry_ids]


def _place(entry_id: int) -> bytes:
    return entry_id.to_bytes(8, "little")
