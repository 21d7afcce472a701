"""Secrets wrapped by keys, with AES-256-GCM.

What is wrapped names where it belongs, so a key that is moved to another place does not open.
"""

from __future__ import annotations

import secrets
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from imageward_server.errors import DataCorrupt

_NONCE_BYTES: Final = 12


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


def opens(key: bytes, wrapped: bytes, place: str) -> bool:
    """Tell whether something was wrapped by this key for this place."""
    try:
        unwrap(key, wrapped, place)
    except DataCorrupt:
        return False
    return True
