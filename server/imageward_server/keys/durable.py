"""Small files that are whole or not there, and gone for good when they are shredded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO


def write_durably(file: Path, data: bytes) -> None:
    """Write a file; it is durable, its name not yet."""
    with file.open("wb") as opened:
        opened.write(data)
        sync(opened)


def replace_durably(file: Path, data: bytes) -> None:
    """Put a file in the place of the one before, which is overwritten; one of them is whole."""
    draft, old = file.with_name(file.name + ".draft"), file.with_name(file.name + ".old")
    shred(old)  # of a crash
    write_durably(draft, data)
    if file.exists():
        old.hardlink_to(file)
    draft.rename(file)
    sync_folder(file.parent)
    shred(old)


def shred(file: Path) -> None:
    """Overwrite a file in place and remove it; one that is not there stays so."""
    try:
        with file.open("r+b") as opened:
            opened.write(bytes(file.stat().st_size))
            sync(opened)
    except FileNotFoundError:
        return
    file.unlink()


def sync(file: BinaryIO) -> None:
    """Force a file's bytes to the disk."""
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
