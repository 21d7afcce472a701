"""Secrets: how they are made, and how they are kept without being kept.

Random secrets of 256 bits (links, sessions) are kept as their SHA-256, which cannot be
searched. PINs are kept as scrypt with a salt of their own.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from typing import Final

from imageward_server.intake.limits import LINK_BYTES, PIN_DIGITS

# Crockford's digits: none is taken for another when it is read aloud.
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_CASE_CHARS: Final = 10
_SCRYPT_N: Final = 2**14
_SCRYPT_R: Final = 8
_SCRYPT_P: Final = 1
_SALT_BYTES: Final = 16
_SCHEME: Final = "scrypt"


def new_token() -> str:
    """Make a secret for a URL or a cookie: 256 random bits, 43 characters."""
    return secrets.token_urlsafe(LINK_BYTES)


def digest_token(token: str) -> bytes:
    """Condense a random secret to what is stored: 32 bytes."""
    return hashlib.sha256(token.encode()).digest()


def new_pin() -> str:
    """Make a PIN of 8 digits."""
    return f"{secrets.randbelow(10**PIN_DIGITS):0{PIN_DIGITS}}"


def new_case_number() -> str:
    """Make the number of a case, such as `7Q4K2-M9PXW`: 50 random bits, no order in it."""
    text = "".join(secrets.choice(_ALPHABET) for _ in range(_CASE_CHARS))
    return f"{text[:5]}-{text[5:]}"


def read_case_number(typed: str) -> str:
    """Read a case number as a person types it: any case, with or without the dash."""
    plain = typed.upper().replace("-", "").replace(" ", "")
    plain = plain.translate(str.maketrans("OIL", "011"))
    return f"{plain[:5]}-{plain[5:]}"


def hash_pin(pin: str) -> str:
    """Hash a PIN; the text names its scheme and salt."""
    salt = secrets.token_bytes(_SALT_BYTES)
    return "$".join((_SCHEME, _written(salt), _written(_scrypt(pin, salt))))


def verify_pin(pin: str, kept: str | None) -> bool:
    """Compare a PIN with its hash; as slow for a hash that is not there."""
    _, salt, expected = (kept or _NOBODY).split("$")
    same = hmac.compare_digest(_scrypt(pin, _read(salt)), _read(expected))
    return same and kept is not None


def _scrypt(pin: str, salt: bytes) -> bytes:
    return hashlib.scrypt(pin.encode(), salt=salt, n=_SCRYPT_N, r=_SCRYPT_R, p=_SCRYPT_P)


def _written(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode()


def _read(text: str) -> bytes:
    return base64.b64decode(text, altchars=b"-_", validate=True)


_NOBODY: Final = hash_pin(secrets.token_urlsafe())
