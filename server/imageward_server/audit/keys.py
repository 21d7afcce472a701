"""The audit's key: one secret of 256 bits, from which MACs and signatures are made.

Whoever has the secret can write an audit that verifies; whoever has the public key can
verify signed checkpoints, and by their digests every row up to the last of them.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from imageward_server import key_file
from imageward_server.audit.row import ChainHead, Checkpoint

# In the data folder, where neither a file nor the environment has a key.
KEY_FILE_NAME: Final = "audit.key"
_MAKER: Final = "imageward-server audit new-key"


class AuditKeys:
    """Everything that is made from the audit's secret. Safe under concurrent use.

    Args:
        secret: 32 bytes.
    """

    def __init__(self, secret: bytes) -> None:
        self._row_key = key_file.derive(secret, "audit row")
        self._head_key = key_file.derive(secret, "audit head")
        self._backup_key = key_file.derive(secret, "backup")
        self._signer = Ed25519PrivateKey.from_private_bytes(
            key_file.derive(secret, "audit checkpoint")
        )
        self.public = PublicKey(self._signer.public_key().public_bytes_raw())

    def row_mac(self, digest: bytes) -> bytes:
        """Prove a row's digest; 32 bytes."""
        return hmac.digest(self._row_key, digest, hashlib.sha256)

    def head_mac(self, head: ChainHead) -> bytes:
        """Prove where the chain ends; 32 bytes."""
        said = [head.chain_id, head.first, head.number, head.digest.hex(), head.checkpoint]
        written = json.dumps([*said, head.checkpoint_us])
        return hmac.digest(self._head_key, written.encode(), hashlib.sha256)

    def fits_row(self, digest: bytes, mac: bytes | None) -> bool:
        """Whether a row's MAC is of this key and its digest."""
        return mac is not None and hmac.compare_digest(mac, self.row_mac(digest))

    def fits_head(self, head: ChainHead) -> bool:
        """Whether the head was written with this key, as it is."""
        return head.mac is not None and hmac.compare_digest(head.mac, self.head_mac(head))

    def backup_mac(self, said: bytes) -> bytes:
        """Prove what a backup says of itself; 32 bytes."""
        return hmac.digest(self._backup_key, said, hashlib.sha256)

    def sign(
        self, chain_id: str, number: int, at_us: int, previous: int, digest: bytes
    ) -> Checkpoint:
        """Sign how far a chain is."""
        said = _said(chain_id, number, at_us, previous, digest)
        return Checkpoint(number, at_us, previous, digest, self._signer.sign(said))


@dataclass(frozen=True, slots=True)
class PublicKey:
    """What checkpoints are verified with; it may be published.

    Attributes:
        raw: 32 bytes.
    """

    raw: bytes

    def fits(self, chain_id: str, checkpoint: Checkpoint) -> bool:
        """Whether a checkpoint was signed by this key's owner for this chain."""
        said = _said(
            chain_id, checkpoint.number, checkpoint.at_us, checkpoint.previous, checkpoint.digest
        )
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(checkpoint.signature, said)
        except InvalidSignature:
            return False
        return True


# Of a store that was opened without a secret, as tests do: it chains rows and proves nothing.
NO_SECRET: Final = AuditKeys(bytes(key_file.KEY_BYTES))


def load_keys(file: Path | None, data_dir: Path, *, makes_key: bool = True) -> AuditKeys:
    """Read the audit's key: from a named file, the environment, or the data folder.

    Without a name and a variable the data folder's own is made if it is missing and
    `makes_key` says so. It keeps out those who can write to the database and not read the
    folder, and nobody else.

    Raises:
        InvalidKey: what is named is no key, or others may read it.
        OSError: the data folder cannot be written.
    """
    if file is None and key_file.AUDIT_KEY_VARIABLE not in os.environ:
        file = data_dir / KEY_FILE_NAME
        if makes_key and not file.exists():
            make_key_file(file)
    return AuditKeys(key_file.load_key(file, key_file.AUDIT_KEY_VARIABLE, _MAKER))


def read_public_key(text: str) -> PublicKey:
    """Read a public key from its hexadecimal digits.

    Raises:
        ValueError: it is none.
    """
    raw = bytes.fromhex(text)
    Ed25519PublicKey.from_public_bytes(raw)
    return PublicKey(raw)


def make_key_file(file: Path) -> None:
    """Make a key for the owner alone, whole or not at all; keep one that is there.

    Raises:
        OSError: the folder cannot be written.
    """
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(handle, "w") as opened:
            opened.write(key_file.write_key(key_file.new_key()) + "\n")
            opened.flush()
            os.fsync(opened.fileno())
        # Of two processes that start together, the second finds the first one's key.
        os.link(draft, file)
    except FileExistsError:
        return
    finally:
        draft.unlink()


def _said(chain_id: str, number: int, at_us: int, previous: int, digest: bytes) -> bytes:
    return json.dumps([chain_id, number, at_us, previous, digest.hex()]).encode()
