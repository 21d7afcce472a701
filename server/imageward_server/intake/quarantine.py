"""The quarantine: the only place where pictures are, encrypted, until they are destroyed.

    quarantine/<case number>/case.key          the case's key, wrapped by the master key
                             <picture id>.key  the picture's key, wrapped by the case's
                             <picture id>.sealed

Keys lie beside the pictures and never in the store, so that a backup of the store opens
nothing. A picture is destroyed by overwriting its key, then removing key and file; with
the last picture goes the case's key. Which pictures should be there is the store's matter.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from imageward_server.errors import DataCorrupt
from imageward_server.intake.sealed_stream import SealedWriter, read_sealed
from imageward_server.key_file import derive, new_key
from imageward_server.keys.durable import replace_durably, shred, sync, sync_folder, write_durably
from imageward_server.keys.wrapping import opens, unwrap, wrap

FOLDER: Final = "quarantine"
_CASE_KEY: Final = "case.key"
_KEY_SUFFIX: Final = ".key"
_SEALED_SUFFIX: Final = ".sealed"


class Quarantine:
    """Keeps encrypted pictures in a folder. Safe under concurrent use.

    Args:
        folder: where; made, for its owner alone, if it is missing.
        master_key: 32 bytes.
    """

    def __init__(self, folder: Path, master_key: bytes) -> None:
        self._folder = folder
        self._master_key = master_key
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def begin(self, case_number: str, picture_id: str) -> SealedFile:
        """Open a picture for writing; until it is finished it cannot be read."""
        key = self._make_key(case_number, picture_id)
        return SealedFile(self._sealed_file(case_number, picture_id), key)

    def read(self, case_number: str, picture_id: str) -> bytes:
        """Decrypt a picture into memory.

        Raises:
            DataCorrupt: it or a key of it is missing or was changed.
        """
        try:
            wrapped = self._key_file(case_number, picture_id).read_bytes()
            key = unwrap(self._case_key(case_number), wrapped, picture_id)
            with self._sealed_file(case_number, picture_id).open("rb") as file:
                return read_sealed(file, key)
        except FileNotFoundError as error:
            raise DataCorrupt("a picture or its key is missing from the quarantine") from error

    def tag_key(self, case_number: str) -> bytes:
        """Return the key of a case's tags, which tell equal pictures; it goes with the case's."""
        return derive(self._case_key(case_number), "tag")

    def destroy(self, case_number: str, picture_id: str) -> None:
        """Make a picture unreadable for ever; one that is gone already stays so."""
        with self._locked():
            shred(self._key_file(case_number, picture_id))
            self._sealed_file(case_number, picture_id).unlink(missing_ok=True)
            self._close(self._folder / case_number)

    def held(self) -> dict[str, set[str]]:
        """Name the ids of all pictures that are here, whole or not, by case number."""
        with self._locked():
            return {
                folder.name: {file.stem for file in folder.iterdir() if _is_picture_s(file)}
                for folder in sorted(self._folder.iterdir())
            }

    def rewrap(self, master_key: bytes) -> int:
        """Wrap every case's key with another master key; return how many were not yet.

        Each is whole under one of the two, so that what was cut off can be done again.

        Raises:
            DataCorrupt: a key opens with neither.
        """
        with self._locked():
            files = [folder / _CASE_KEY for folder in sorted(self._folder.iterdir())]
            return sum(self._rewrap(file, master_key) for file in files if file.exists())

    def _rewrap(self, file: Path, master_key: bytes) -> bool:
        case_number, wrapped = file.parent.name, file.read_bytes()
        if opens(master_key, wrapped, case_number):
            return False
        case_key = unwrap(self._master_key, wrapped, case_number)
        replace_durably(file, wrap(master_key, case_key, case_number))
        return True

    def _close(self, folder: Path) -> None:
        """Destroy a case's key when no picture is left under it."""
        if not folder.is_dir():
            return
        if any(_is_picture_s(file) for file in folder.iterdir()):
            sync_folder(folder)
            return
        for file in folder.iterdir():
            shred(file)
        folder.rmdir()
        sync_folder(self._folder)

    def _make_key(self, case_number: str, picture_id: str) -> bytes:
        """Make and keep a picture's key, and its case's if this is the first picture."""
        with self._locked():
            folder = self._folder / case_number
            folder.mkdir(mode=0o700, exist_ok=True)
            if not (folder / _CASE_KEY).exists():
                # Under another name until it is whole: a torn key would close the case.
                draft = folder / f"{_CASE_KEY}.draft"
                write_durably(draft, wrap(self._master_key, new_key(), case_number))
                draft.rename(folder / _CASE_KEY)
            key = new_key()
            wrapped = wrap(self._case_key(case_number), key, picture_id)
            write_durably(self._key_file(case_number, picture_id), wrapped)
            sync_folder(self._folder)
            return key

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the folder alone, among threads and processes.

        A case's key must not go while a picture begins under it.
        """
        handle = os.open(self._folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _case_key(self, case_number: str) -> bytes:
        wrapped = (self._folder / case_number / _CASE_KEY).read_bytes()
        return unwrap(self._master_key, wrapped, case_number)

    def _key_file(self, case_number: str, picture_id: str) -> Path:
        return self._folder / case_number / f"{picture_id}{_KEY_SUFFIX}"

    def _sealed_file(self, case_number: str, picture_id: str) -> Path:
        return self._folder / case_number / f"{picture_id}{_SEALED_SUFFIX}"


class SealedFile:
    """A picture that is being written, encrypted.

    Args:
        path: the file; it must not exist.
        key: the picture's key.
    """

    def __init__(self, path: Path, key: bytes) -> None:
        self._folder = path.parent
        self._file = path.open("xb")
        self._writer = SealedWriter(self._file, key)

    def write(self, data: bytes) -> None:
        """Take the next bytes."""
        self._writer.write(data)

    def finish(self) -> None:
        """End the picture; it is durable when this returns."""
        self._writer.finish()
        sync(self._file)
        self._file.close()
        sync_folder(self._folder)

    def close(self) -> None:
        """Let the file go, finished or not."""
        self._file.close()


def _is_picture_s(file: Path) -> bool:
    return not file.name.startswith(_CASE_KEY)
