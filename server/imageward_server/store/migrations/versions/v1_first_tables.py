"""The first tables: head, bank, entry, change, request."""

import sqlalchemy as sa
from alembic import op

revision = "v1"
down_revision = None

_BIG_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the tables and the one row of counters."""
    head = op.create_table(
        "head",
        sa.Column("id", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("serial", sa.BigInteger, nullable=False),
        sa.CheckConstraint("id = 1", name="head_is_one_row"),
    )
    op.bulk_insert(head, [{"id": 1, "revision": 0, "serial": 0}])
    op.create_table(
        "bank",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("name", sa.String(64), nullable=False, unique=True),
        sa.Column("action", sa.String(16), nullable=False),
        sa.Column("radius_bits", sa.SmallInteger, nullable=False),
        sa.Column("surfaces", sa.JSON, nullable=False),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("active_count", sa.BigInteger, nullable=False),
        sa.Column("withdrawn_count", sa.BigInteger, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("updated_us", sa.BigInteger, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "entry",
        sa.Column("id", _BIG_KEY, primary_key=True, autoincrement=False),
        sa.Column("state", sa.SmallInteger, nullable=False),
        sa.Column("source", sa.SmallInteger, nullable=False),
        sa.Column("pdq", sa.LargeBinary(32), nullable=False),
        sa.Column("quality", sa.SmallInteger, nullable=True),
        sa.Column("reference", sa.String(128), nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("updated_us", sa.BigInteger, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "change",
        sa.Column("revision", _BIG_KEY, primary_key=True, autoincrement=False),
        sa.Column("kind", sa.SmallInteger, nullable=False),
        sa.Column("bank_number", sa.Integer, nullable=False),
        sa.Column("first_entry_id", sa.BigInteger, nullable=True),
        sa.Column("entry_count", sa.Integer, nullable=True),
        sa.Column("changed_us", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "request",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("first_entry_id", sa.BigInteger, nullable=True),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_request_created_us", "request", ["created_us"])
