"""The folder of the store's keys, and what opens it.

    store.key    JSON: the format, the store's name, the store's key wrapped by the master key
    entry.keys   a secret for every entry
    segments/, code-segments/   a secret for every segment of the index

Without `store.key` or `entry.keys` the store cannot be read by anybody. The folder is of
one store at a time: two would make keys of different entries in the same places.
"""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from imageward_server import key_file
from imageward_server.config import Config
from imageward_server.errors import DataCorrupt, KeysUnusable
from imageward_server.keys.durable import replace_durably
from imageward_server.keys.segment_secrets import SegmentSecrets
from imageward_server.keys.wrapping import unwrap, wrap

if TYPE_CHECKING:
    from imageward_server.keys.entry_keys import EntryKeys

KEY_VARIABLE: Final = "IMAGEWARD_STORE_KEY"
FOLDER: Final = "keys"
MAKER: Final = "imageward-server keys new"
_STORE_KEY: Final = "store.key"
_ENTRY_KEYS: Final = "entry.keys"
_FORMAT: Final = 1
_PLACE: Final = "store key"


class Vault:
    """The keys of one store.

    Args:
        folder: where they are.
        master_key: 32 bytes.
    """

    def __init__(self, folder: Path, master_key: bytes) -> None:
        self._folder = folder
        self._master_key = master_key

    @property
    def exists(self) -> bool:
        """Whether there is a store's key in the folder."""
        return self._file.exists()

    def store_id(self) -> str:
        """Return the name of the store whose keys these are.

        Raises:
            KeysUnusable: there are none.
        """
        name: str = self._read()["store_id"]
        return name

    def make(self, store_id: str) -> None:
        """Make the key of a store that has none; durable on return.

        Raises:
            KeysUnusable: the folder has a key, of another store or of another master key.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.exists:
            self._store_key(store_id)
            return
        self._open_entry_keys(b"").close()
        self._write(store_id, key_file.new_key(), self._master_key)

    def check(self, store_id: str) -> None:
        """Make sure that the store can be read; changes nothing.

        Raises:
            KeysUnusable: the folder or a file is missing, or the master key is another.
        """
        self._store_key(store_id)
        if not (self._folder / _ENTRY_KEYS).exists():
            raise KeysUnusable(
                f"{_ENTRY_KEYS} is missing in the folder of the store's keys; "
                "put back its newest copy"
            )

    def entry_keys(self, store_id: str) -> EntryKeys:
        """Open the keys of the entries; raises as `check` does."""
        self.check(store_id)
        root = key_file.derive(self._store_key(store_id), "entry")
        return self._open_entry_keys(root)

    def _open_entry_keys(self, root: bytes) -> EntryKeys:
        from imageward_server.keys.entry_keys import EntryKeys  # noqa: PLC0415 - NumPy's, and the supervisor, which shall be light, looks for a vault

        return EntryKeys(self._folder / _ENTRY_KEYS, root)

    def request_key(self, store_id: str) -> bytes:
        """Return the key that digests of requests are made with."""
        return key_file.derive(self._store_key(store_id), "request")

    def segment_keys(self, store_id: str, folder_name: str) -> SegmentSecrets:
        """Open the keys of a folder of segments."""
        root = key_file.derive(self._store_key(store_id), f"segment {folder_name}")
        return SegmentSecrets(self._folder / folder_name, root)

    def rotate(self, new_master_key: bytes) -> None:
        """Wrap the store's key with another master key; the one before opens it no more.

        Done again, with the new key as either, it changes nothing.

        Raises:
            KeysUnusable: neither key opens it.
        """
        store_id = self.store_id()
        try:
            store_key = self._store_key(store_id)
        except KeysUnusable:
            Vault(self._folder, new_master_key).check(store_id)
            return
        self._write(store_id, store_key, new_master_key)

    @property
    def _file(self) -> Path:
        return self._folder / _STORE_KEY

    def adopt(self, store_id: str, last_serial: int) -> None:
        """Give the keys to another store, one that was restored from a backup of the first.

        Args:
            store_id: the other store's name.
            last_serial: the last that it has passed over, without an entry: it gets a
                secret, by which a later start tells that the folder is not too old.

        Raises:
            KeysUnusable: the master key is another.
        """
        self._write(store_id, self._unwrapped(), self._master_key)
        keys = self.entry_keys(store_id)
        try:
            if not keys.has(last_serial):
                keys.make([last_serial])
        finally:
            keys.close()

    def _store_key(self, store_id: str) -> bytes:
        if self.store_id() != store_id:
            raise KeysUnusable(
                "the folder of the store's keys is of another store; set key_dir to the right "
                "one, or, for a store that was restored, run `imageward-server keys adopt`"
            )
        return self._unwrapped()

    def _unwrapped(self) -> bytes:
        try:
            return unwrap(self._master_key, base64.b64decode(self._read()["wrapped"]), _PLACE)
        except DataCorrupt as error:
            raise KeysUnusable(
                "the master key does not open the store's key; give the one that the store was "
                "encrypted with, or the one that it was rotated to"
            ) from error

    def _read(self) -> dict[str, Any]:
        try:
            said: dict[str, Any] = json.loads(self._file.read_bytes())
        except FileNotFoundError as error:
            raise KeysUnusable(
                f"the store is encrypted and {_STORE_KEY} is missing in the folder of its keys; "
                "set key_dir, or put back its newest copy"
            ) from error
        except ValueError as error:
            raise KeysUnusable(f"{_STORE_KEY} is damaged; put back its newest copy") from error
        if said.get("format") != _FORMAT:
            raise KeysUnusable(f"{_STORE_KEY} is of a format that this version does not know")
        return said

    def _write(self, store_id: str, store_key: bytes, master_key: bytes) -> None:
        wrapped = base64.b64encode(wrap(master_key, store_key, _PLACE)).decode()
        said = {"format": _FORMAT, "store_id": store_id, "wrapped": wrapped}
        replace_durably(self._file, json.dumps(said).encode())


def find_vault(config: Config) -> Vault | None:
    """Return the keys that a configuration names; None if it names none.

    Raises:
        InvalidKey: what is named is no key, or the store is one that several machines share.
    """
    if config.store_key_file is None and KEY_VARIABLE not in os.environ:
        return None
    if config.store_url:
        raise key_file.InvalidKey(
            "a store at store_url cannot be encrypted: its keys would have to be on every "
            "machine; give no key, or keep the store in data_dir"
        )
    master_key = key_file.load_key(config.store_key_file, KEY_VARIABLE, MAKER)
    return Vault(config.key_dir or config.data_dir / FOLDER, master_key)
