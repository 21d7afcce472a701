"""Encryption of codes, and which withdrawn entries are to be erased when."""

import time

import sqlalchemy as sa
from alembic import op

revision = "v5"
down_revision = "v4"

_BIG_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_WITHDRAWN = 2
# Those of older versions could be restored for ever: a week is left to do so.
_GRACE_US = 7 * 24 * 3600 * 1_000_000


def upgrade() -> None:
    """Add the table and the columns; nothing is encrypted, all that is withdrawn is due."""
    op.add_column(
        "head", sa.Column("encryption", sa.SmallInteger, nullable=False, server_default="0")
    )
    op.add_column("head", sa.Column("destroyed", sa.BigInteger, nullable=False, server_default="0"))
    erasure = op.create_table(
        "erasure",
        sa.Column("entry_id", _BIG_KEY, primary_key=True, autoincrement=False),
        sa.Column("due_us", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_erasure_due_us", "erasure", ["due_us"])
    entry = sa.table("entry", sa.column("id"), sa.column("state"))
    due_us = int(time.time() * 1_000_000) + _GRACE_US
    op.execute(
        erasure.insert().from_select(
            ["entry_id", "due_us"],
            sa.select(entry.c.id, sa.literal_column(str(due_us))).where(
                entry.c.state == sa.literal_column(str(_WITHDRAWN))
            ),
        )
    )
