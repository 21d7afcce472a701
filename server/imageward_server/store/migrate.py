"""Brings a store to this version's tables, with alembic."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from imageward_server.errors import StoreIncompatible
from imageward_server.store.engine import reading, writing

_MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(engine: sa.Engine) -> None:
    """Create the tables, or upgrade those of an older version, in one transaction.

    Raises:
        StoreIncompatible: a newer version wrote this store.
    """
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    scripts = ScriptDirectory.from_config(config)
    with reading(engine) as connection:
        at = MigrationContext.configure(connection).get_current_revision()
    if at == scripts.get_current_head():
        return
    if at is not None and at not in {script.revision for script in scripts.walk_revisions()}:
        raise StoreIncompatible(
            f"the store is of format {at}, which this version does not know; "
            "run the version that wrote it, or a newer one",
            store_format=at,
        )
    with writing(engine) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
