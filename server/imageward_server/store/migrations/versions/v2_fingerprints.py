"""Fingerprints beside entries, and what banks say about parts of pictures."""

import sqlalchemy as sa
from alembic import op

revision = "v2"
down_revision = "v1"

_BIG_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the table and the columns; entries there are have a whole-image hash alone."""
    op.create_table(
        "fingerprint",
        sa.Column("entry_id", _BIG_KEY, primary_key=True, autoincrement=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )
    op.add_column(
        "entry", sa.Column("code_count", sa.SmallInteger, nullable=False, server_default="0")
    )
    op.add_column("bank", sa.Column("coverage_min", sa.Float, nullable=False, server_default="0"))
    op.add_column(
        "bank", sa.Column("review_doubtful", sa.Boolean, nullable=False, server_default=sa.false())
    )
