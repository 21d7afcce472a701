"""How the arrays of a sealed file are encrypted: AES-256-GCM, in one stream, in pieces.

The header block stays readable and is authenticated with the arrays. A key is of one file
alone and encrypts once, so its nonce is a constant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import AEADDecryptionContext, Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import GCM

TAG_BYTES: Final = 16
"""What an encrypted file has at its end."""

ENCRYPTED_BYTES_MAX: Final = (1 << 36) - 32
"""What AES-GCM may encrypt in one stream."""

# Large enough that a piece costs little, small enough to stay in a processor's cache.
PIECE_BYTES: Final = 1 << 20
_NONCE: Final = bytes(12)


def write_encrypted(file: BinaryIO, key: bytes, block: bytes, arrays: memoryview) -> None:
    """Write a header block in clear, the arrays encrypted, and the tag over both."""
    assert len(arrays) <= ENCRYPTED_BYTES_MAX, len(arrays)
    context = Cipher(AES256(key), GCM(_NONCE)).encryptor()
    context.authenticate_additional_data(block)
    file.write(block)
    piece = bytearray(PIECE_BYTES)
    for first in range(0, len(arrays), PIECE_BYTES):
        count = context.update_into(arrays[first : first + PIECE_BYTES], piece)
        file.write(memoryview(piece)[:count])
    context.finalize()
    file.write(context.tag)


def decrypt_into(
    put: Callable[[memoryview, int], object], file: BinaryIO, key: bytes, block: bytes, size: int
) -> bool:
    """Decrypt a file's arrays; return whether file and header are what was written.

    Args:
        put: takes each piece, and at which byte of the file it belongs. What it was given
            is worth nothing if the answer is no.
        file: the file, read from after its header block.
        key: the file's.
        block: the header block.
        size: the file's bytes, its tag included.
    """
    context = Cipher(AES256(key), GCM(_NONCE)).decryptor()
    context.authenticate_additional_data(block)
    for at, piece in _pieces(file, context, len(block), size - TAG_BYTES):
        put(piece, at)
    try:
        context.finalize_with_tag(file.read(TAG_BYTES))
    except (InvalidTag, ValueError):
        return False
    return True


def _pieces(
    file: BinaryIO, context: AEADDecryptionContext, first: int, end: int
) -> Iterator[tuple[int, memoryview]]:
    encrypted, clear = bytearray(PIECE_BYTES), bytearray(PIECE_BYTES)
    file.seek(first)
    for at in range(first, end, PIECE_BYTES):
        count = file.readinto(memoryview(encrypted)[: min(PIECE_BYTES, end - at)])  # type: ignore[attr-defined]  # every file opened for bytes has it
        context.update_into(memoryview(encrypted)[:count], clear)
        yield at, memoryview(clear)[:count]
