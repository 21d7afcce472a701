"""Makes a backup of a store that is served meanwhile.

1. The audit says that somebody takes a backup; so the backup says it too.
2. The database writes a copy of itself, as of one moment, without what was deleted.
3. The copy gets its label, is flushed to the disk, and only then its name.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from imageward_server import __version__
from imageward_server.audit.row import Actor
from imageward_server.backup.archive import FORMAT, Label, append_label, sha256_of
from imageward_server.store import Store
from imageward_server.store.engine import describe_copy


def make_backup(store: Store, file: Path, by: Actor) -> Label:
    """Write a backup of a store; return what it says of itself.

    Args:
        store: the store.
        file: where to; it must not exist.
        by: who takes it, and why.

    Raises:
        OSError: the file exists, another backup is being written to it, or the disk is full.
        StoreIncompatible: the store's database is not one file.
        DataCorrupt: the store is damaged, or its audit has another key.
    """
    if file.exists():
        raise FileExistsError(f"{file} exists; name a new file for each backup")
    with _draft(file) as (draft, opened):
        store.audit(by, "back up")
        store.copy_to(draft)
        copied = describe_copy(draft)
        label = Label(
            format=FORMAT,
            server_version=__version__,
            store_id=copied.store_id,
            store_format=copied.store_format,
            revision=copied.revision,
            audit_number=copied.audit_number,
            made_us=time.time_ns() // 1000,
            database_bytes=draft.stat().st_size,
            database_sha256=sha256_of(draft),
        ).sealed(store.audit_keys)
        append_label(opened, label)
        draft.rename(file)
        sync_folder(file.parent)
    return label


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _draft(file: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """Open a file beside the backup's name, empty and for this process alone.

    What a killed backup has left is overwritten. It is removed if this one fails.
    """
    draft = file.with_name(f".{file.name}.partial")
    with os.fdopen(os.open(draft, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OSError(f"another backup to {file} is being written; wait for it") from error
        opened.truncate(0)
        try:
            yield draft, opened
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
