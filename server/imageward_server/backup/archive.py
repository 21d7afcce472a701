"""The file of a backup: the store's database, what is said of it, and a seal over both.

    database | label, JSON | length of the label, 4 bytes | magic, 8 bytes

The label stands at the end because only then is everything known that it says; so a file
that was cut has none. It says how long the database is and its SHA-256, and it carries a
MAC under the audit's key, so that what is restored is what a server wrote.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import BinaryIO, Final

from imageward_server.audit.keys import AuditKeys
from imageward_server.errors import DataCorrupt, StoreIncompatible

FORMAT: Final = 1
_MAGIC: Final = b"IWBACKUP"
_LENGTH_BYTES: Final = 4
_LABEL_BYTES_MAX: Final = 65_536
_CHUNK_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Label:
    """What a backup says of itself.

    Attributes:
        format: of this file.
        server_version: that made it.
        store_id: of the store that it is of.
        store_format: of its tables.
        revision: the last change that is in it.
        audit_number: the last row of the audit that is in it.
        made_us: when, in microseconds since 1970 UTC.
        database_bytes: how long the database is.
        database_sha256: of the database, in hexadecimal.
        mac: over all of this under the audit's key, in hexadecimal.
    """

    format: int
    server_version: str
    store_id: str
    store_format: str
    revision: int
    audit_number: int
    made_us: int
    database_bytes: int
    database_sha256: str
    mac: str = ""

    def sealed(self, keys: AuditKeys) -> Label:
        """Return the label with its MAC."""
        return replace(self, mac=keys.backup_mac(self._said()).hex())

    def fits(self, keys: AuditKeys) -> bool:
        """Whether a server with these keys wrote it."""
        return hmac.compare_digest(self.mac, self.sealed(keys).mac)

    def _said(self) -> bytes:
        return json.dumps(asdict(replace(self, mac="")), sort_keys=True).encode()


def append_label(file: BinaryIO, label: Label) -> None:
    """End a backup, whose database the file holds by now; durable when this returns."""
    said = json.dumps(asdict(label)).encode()
    file.seek(0, os.SEEK_END)
    file.write(said + len(said).to_bytes(_LENGTH_BYTES, "big") + _MAGIC)
    file.flush()
    os.fsync(file.fileno())


def read_label(file: BinaryIO) -> Label:
    """Read what a backup says of itself.

    Raises:
        DataCorrupt: it was cut, or is no backup.
        StoreIncompatible: a newer version made it.
    """
    end_bytes = _LENGTH_BYTES + len(_MAGIC)
    size_bytes = file.seek(0, os.SEEK_END)
    file.seek(max(size_bytes - end_bytes, 0))
    end = file.read(end_bytes)
    label_bytes = int.from_bytes(end[:_LENGTH_BYTES], "big")
    database_bytes = size_bytes - end_bytes - label_bytes
    if not end.endswith(_MAGIC) or label_bytes > _LABEL_BYTES_MAX or database_bytes < 0:
        raise _damaged("has no end: it was cut, or is no backup")
    file.seek(database_bytes)
    label = _parse(file.read(label_bytes))
    if label.database_bytes != database_bytes:
        raise _damaged(f"has {database_bytes} of {label.database_bytes} bytes")
    return label


def copy_database(file: BinaryIO, label: Label, target: Path) -> None:
    """Write the database of a backup to a file of its own, for the owner alone.

    Raises:
        DataCorrupt: it is not what the label says.
    """
    file.seek(0)
    digest = hashlib.sha256()
    left_bytes = label.database_bytes
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        while left_bytes and (chunk := file.read(min(_CHUNK_BYTES, left_bytes))):
            digest.update(chunk)
            out.write(chunk)
            left_bytes -= len(chunk)
    if left_bytes or digest.hexdigest() != label.database_sha256:
        raise _damaged("is damaged: its checksum is another")


def sha256_of(file: Path) -> str:
    """Digest a file, in hexadecimal."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _parse(said: bytes) -> Label:
    try:
        values = json.loads(said)
        made_by = int(values["format"])
        known = {name: values[name] for name in (field.name for field in fields(Label))}
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged("is damaged: its label cannot be read") from error
    if made_by != FORMAT:
        raise StoreIncompatible(
            f"the backup is of format {made_by}, and this version reads {FORMAT}; "
            "restore it with the version that made it",
            backup_format=made_by,
        )
    return Label(**known)


def _damaged(what: str) -> DataCorrupt:
    return DataCorrupt(f"the backup {what}; take another one")
