"""Makes a data folder from a backup: the store as it was at the backup's revision.

1. The folder must be empty, but for keys; so nothing that is there is mixed in.
2. The database is copied out of the backup, and every byte of it compared.
3. The store gets a new name: it will have other changes under the revisions that the old
   one went on to, so no segment and no server may take the one for the other. Nor does it
   give ids away that the old one may have given since.
4. What must not come back stays away: sessions and links, some of which have ended since,
   and pictures, which no backup holds.
5. The audit says who restored it. Only then has the folder a store.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

import sqlalchemy as sa

from imageward_server.audit.keys import NO_SECRET, AuditKeys
from imageward_server.audit.row import Actor
from imageward_server.backup.archive import Label, copy_database, read_label
from imageward_server.backup.make import sync_folder
from imageward_server.errors import DataCorrupt
from imageward_server.intake import disposal, links
from imageward_server.intake.records import picture_of
from imageward_server.keys.vault import FOLDER
from imageward_server.store import Store
from imageward_server.store.case_tables import picture, session
from imageward_server.store.engine import FILE_NAME, check_whole, store_url
from imageward_server.store.head import Head
from imageward_server.store.migrate import require_known
from imageward_server.store.schema import head as head_table
from imageward_server.store.turn import place_of

# What an operator has put there before, because no backup holds it.
KEY_SUFFIX: Final = ".key"
# Ids of entries that were acknowledged after the backup must not become ids of others:
# whoever withdraws one of them would withdraw another picture.
SERIALS_PASSED: Final = 1_000_000
_DRAFT_FOLDER: Final = ".restoring"


def restore(
    file: Path, data_dir: Path, keys: AuditKeys, by: Actor, *, renews_audit: bool = False
) -> Label:
    """Make a store in a data folder; return what the backup says of itself.

    Args:
        file: the backup.
        data_dir: the folder; made if it is missing.
        keys: what the audit was written with.
        by: who restores it, and why.
        renews_audit: go on under these keys, because the old ones are lost. Then nothing
            proves that the backup is what a server wrote.

    Raises:
        OSError: the folder is not empty, or a file cannot be read or written.
        DataCorrupt: the backup is damaged, or of other keys.
        StoreIncompatible: a newer version made it.
    """
    with file.open("rb") as opened, _draft_folder(data_dir) as folder:
        label = _accept(opened, keys, renews_audit=renews_audit)
        database = folder / FILE_NAME
        copy_database(opened, label, database)
        check_whole(database)
        _enter(Store(store_url(folder, ""), keys=keys), by, renews_audit=renews_audit)
        _settle(database)
        database.rename(data_dir / FILE_NAME)
        sync_folder(data_dir)
    return label


def require_empty(data_dir: Path) -> None:
    """Refuse a folder that holds anything but keys.

    Raises:
        OSError: it does.
    """
    if not data_dir.exists():
        return
    found = [
        path for path in data_dir.iterdir() if path.suffix != KEY_SUFFIX and path.name != FOLDER
    ]
    if found:
        raise FileExistsError(
            f"{data_dir} is not empty: it holds {len(found)} things that are no keys; "
            "name a fresh folder"
        )


def _accept(file: BinaryIO, keys: AuditKeys, *, renews_audit: bool) -> Label:
    label = read_label(file)
    require_known(label.store_format)
    if not (renews_audit or label.fits(keys)):
        raise DataCorrupt(
            "the backup was not made under this audit key: name the key that it was made "
            "under; if that is lost, --renew-audit takes the backup for what it says"
        )
    return label


def _enter(store: Store, by: Actor, *, renews_audit: bool) -> None:
    """Make a restored database this server's own, in one transaction after its upgrade."""
    try:
        if renews_audit:
            _renew(store, by)
        store.open(with_codes=False)
        with store.changing() as head:
            _begin_anew(head)
            head.connection.execute(session.delete())
            links.revoke_all(head)
            _give_up_pictures(head)
            head.audit(by, "restore")
    finally:
        store.close()


def _begin_anew(head: Head) -> None:
    """Give the store another name, and pass over serials that the old one may have given away."""
    head.next_serials(SERIALS_PASSED)
    head.connection.execute(head_table.update().values(store_id=uuid.uuid4().hex))


def _renew(store: Store, by: Actor) -> None:
    upgrading = Store(store.url, keys=NO_SECRET)
    try:
        upgrading.open(with_codes=False)
    finally:
        upgrading.close()
    store.renew_audit(by)


def _give_up_pictures(head: Head) -> None:
    """Expire what was waiting: the pictures are not here, and the persons are told so."""
    kept = sa.select(picture).where(picture.c.deleted_us.is_(None))
    for row in head.connection.execute(kept).all():
        disposal.give_up(head, picture_of(row))


def _settle(database: Path) -> None:
    """See that the closed database is one file, and durable."""
    place_of(database).unlink()
    left = sorted(path.name for path in database.parent.iterdir() if path != database)
    assert left == [], left
    with database.open("rb") as opened:
        os.fsync(opened.fileno())


@contextmanager
def _draft_folder(data_dir: Path) -> Iterator[Path]:
    """Open a folder to work in; it goes with everything in it, whatever happens."""
    require_empty(data_dir)
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = data_dir / _DRAFT_FOLDER
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
