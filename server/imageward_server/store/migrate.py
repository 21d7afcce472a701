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
    config = _config()
    at = format_of(engine)
    if at == newest_format():
        return
    require_known(at)
    with writing(engine) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def format_of(engine: sa.Engine) -> str | None:
    """Read which format a store is of; None of one without tables."""
    with reading(engine) as connection:
        return MigrationContext.configure(connection).get_current_revision()


def newest_format() -> str:
    """Name the format that this version writes."""
    newest = ScriptDirectory.from_config(_config()).get_current_head()
    assert newest is not None
    return newest


def require_known(store_format: str | None) -> None:
    """Accept the formats that this version can upgrade.

    Raises:
        StoreIncompatible: a newer version wrote it.
    """
    scripts = ScriptDirectory.from_config(_config())
    known = {None, *(script.revision for script in scripts.walk_revisions())}
    if store_format not in known:
        raise StoreIncompatible(
            f"the store is of format {store_format}, which this version does not know; "
            "run the version that wrote it, or a newer one",
            store_format=store_format,
        )


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    return config
