"""Keys of 256 bits that an operator keeps: made, written as text, read, derived from.

A key comes from a file that its owner alone may read, or from the environment. Each part
of the server that has a key of its own names its file and its variable; what a key is for
is that part's to know.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from pathlib import Path
from typing import Final

from imageward_server.config import InvalidConfig

KEY_BYTES: Final = 32
AUDIT_KEY_VARIABLE: Final = "IMAGEWARD_AUDIT_KEY"
# Others than the owner may not read a file that holds a key.
_OTHERS: Final = 0o077


class InvalidKey(InvalidConfig):
    """There is no key, or what was found is none; the message says where to look."""


def new_key() -> bytes:
    """Make a random key of 256 bits."""
    return secrets.token_bytes(KEY_BYTES)


def write_key(key: bytes) -> str:
    """Write a key as the text that the file or the environment holds."""
    return base64.b64encode(key).decode()


def load_key(file: Path | None, variable: str, maker: str) -> bytes:
    """Read a key from a file, or from the environment if no file is named.

    Args:
        file: the file.
        variable: the environment's variable.
        maker: the command that makes such a key, for the message.

    Raises:
        InvalidKey: there is none, others may read it, or it is not 32 bytes.
    """
    if file is None:
        return _parse(os.environ.get(variable, ""), variable, maker)
    try:
        if file.stat().st_mode & _OTHERS:
            raise InvalidKey(f"{file} can be read by others; chmod 600 it, and make a new key")
        return _parse(file.read_text(), str(file), maker)
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidKey(f"the key {file} cannot be read: {error}") from error


def make_key_file(file: Path) -> None:
    """Write a new key to a file that only its owner can read.

    Raises:
        OSError: the file exists, or cannot be written.
    """
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as opened:
        opened.write(write_key(new_key()) + "\n")


def derive(key: bytes, purpose: str) -> bytes:
    """Make a key for one purpose from another key, by HMAC-SHA-256."""
    return hmac.digest(key, purpose.encode(), hashlib.sha256)


def _parse(text: str, origin: str, maker: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise InvalidKey(
            f"{origin} holds no key of {KEY_BYTES} bytes in base64; `{maker}` makes one"
        )
    return key
