"""Keys: the master key, and keys wrapped by keys, with AES-256-GCM.

The master key wraps a key for each case, which wraps a key for each of its pictures. A
picture is gone when one of the two wrapped keys is destroyed. What is wrapped names where
it belongs, so a key or a contact moved to another case does not open.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from imageward_server import key_file
from imageward_server.errors import DataCorrupt

_NONCE_BYTES: Final = 12
MASTER_KEY_VARIABLE: Final = "IMAGEWARD_INTAKE_MASTER_KEY"


def load_master_key(file: Path | None) -> bytes:
    """Read the master key from a file, or from the environment if no file is named.

    Raises:
        InvalidKey: there is none, others may read it, or it is not 32 bytes.
    """
    return key_file.load_key(file, MASTER_KEY_VARIABLE, "imageward-server intake new-key")


def wrap(key: bytes, secret: bytes, place: str) -> bytes:
    """Encrypt a secret under a key, bound to the place that it belongs to."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, secret, place.encode())


def unwrap(key: bytes, wrapped: bytes, place: str) -> bytes:
    """Decrypt what `wrap` made.

    Raises:
        DataCorrupt: it was changed, cut, or wrapped by another key or for another place.
    """
    nonce, sealed = wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:]
    try:
        return AESGCM(key).decrypt(nonce, sealed, place.encode())
    except (InvalidTag, ValueError) as error:
        raise DataCorrupt(
            "what was encrypted does not open: it was changed, or the master key is another"
        ) from error
