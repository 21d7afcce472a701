"""Keys: the master key, and keys wrapped by keys, with AES-256-GCM.

The master key wraps a key for each case, which wraps a key for each of its pictures. A
picture is gone when one of the two wrapped keys is destroyed. What is wrapped names where
it belongs, so a key or a contact moved to another case does not open.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from imageward_server.config import InvalidConfig
from imageward_server.errors import DataCorrupt

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
MASTER_KEY_VARIABLE: Final = "IMAGEWARD_INTAKE_MASTER_KEY"
# Others than the owner may not read the file of the master key.
_OTHERS: Final = 0o077


class InvalidMasterKey(InvalidConfig):
    """There is no master key, or what was found is none; the message says where to look."""


def new_key() -> bytes:
    """Make a random key of 256 bits."""
    return secrets.token_bytes(KEY_BYTES)


def write_key(key: bytes) -> str:
    """Write a key as the text that the file or the environment holds."""
    return base64.b64encode(key).decode()


def load_master_key(file: Path | None) -> bytes:
    """Read the master key from a file, or from the environment if no file is named.

    Raises:
        InvalidMasterKey: there is none, others may read it, or it is not 32 bytes.
    """
    if file is None:
        return _parse(os.environ.get(MASTER_KEY_VARIABLE, ""), MASTER_KEY_VARIABLE)
    try:
        if file.stat().st_mode & _OTHERS:
            raise InvalidMasterKey(
                f"{file} can be read by others; chmod 600 it, and make a new key"
            )
        return _parse(file.read_text(), str(file))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidMasterKey(f"the master key {file} cannot be read: {error}") from error


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


def derive(key: bytes, purpose: str) -> bytes:
    """Make a key for one purpose from another key, by HMAC-SHA-256."""
    return hmac.digest(key, purpose.encode(), hashlib.sha256)


def _parse(text: str, origin: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise InvalidMasterKey(
            f"{origin} holds no key of {KEY_BYTES} bytes in base64; "
            "`imageward-server intake new-key` makes one"
        )
    return key
