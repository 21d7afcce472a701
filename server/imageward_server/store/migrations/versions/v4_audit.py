"""One audit of the whole server, chained; the intake's own rows go before its first."""

import uuid

import sqlalchemy as sa
from alembic import op

revision = "v4"
down_revision = "v3"

_BIG_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables, and number the rows there are by their time.

    They have neither digest nor MAC yet: there is no key here. The store gives them to
    them when it is opened.
    """
    rows = _create_row()
    old = sa.table(
        "intake_audit",
        *(sa.column(name) for name in ("id", "at_us", "actor", "action", "case_number")),
        sa.column("picture_id"),
    )
    copied = ["at_us", "actor", "action", "case_number", "picture_id"]
    empty = ["role", "bank", "entries", "reason"]
    op.execute(
        rows.insert().from_select(
            ["number", *copied, *empty, "entry_count", "revision"],
            sa.select(
                sa.func.row_number().over(order_by=[old.c.at_us, old.c.id]),
                *(old.c[name] for name in copied),
                *(sa.literal_column("''") for _ in empty),
                sa.literal_column("0"),
                sa.literal_column("0"),
            ),
        )
    )
    op.drop_index("ix_intake_audit_at_us", "intake_audit")
    op.drop_table("intake_audit")
    _create_head(rows)
    _create_checkpoint()


def _create_row() -> sa.Table:
    rows = op.create_table(
        "audit_row",
        sa.Column("number", _BIG_KEY, primary_key=True, autoincrement=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.String(128), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("bank", sa.String(64), nullable=False),
        sa.Column("entries", sa.Text, nullable=False),
        sa.Column("entry_count", sa.Integer, nullable=False),
        sa.Column("case_number", sa.String(16), nullable=False),
        sa.Column("picture_id", sa.String(32), nullable=False),
        sa.Column("reason", sa.String(256), nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=True),
        sa.Column("mac", sa.LargeBinary(32), nullable=True),
    )
    op.create_index("ix_audit_row_case_number", "audit_row", ["case_number"])
    return rows


def _create_head(rows: sa.Table) -> None:
    head = op.create_table(
        "audit_head",
        sa.Column("id", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("chain_id", sa.String(32), nullable=False),
        sa.Column("first", sa.BigInteger, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=True),
        sa.Column("checkpoint", sa.BigInteger, nullable=False),
        sa.Column("checkpoint_us", sa.BigInteger, nullable=False),
        sa.Column("mac", sa.LargeBinary(32), nullable=True),
        sa.CheckConstraint("id = 1", name="audit_head_is_one_row"),
    )
    op.execute(
        head.insert().from_select(
            ["id", "chain_id", "first", "number", "checkpoint", "checkpoint_us"],
            sa.select(
                sa.literal_column("1"),
                sa.literal_column(f"'{uuid.uuid4().hex}'"),
                sa.literal_column("0"),
                sa.func.count(rows.c.number),
                sa.literal_column("0"),
                sa.literal_column("0"),
            ),
        )
    )


def _create_checkpoint() -> None:
    op.create_table(
        "audit_checkpoint",
        sa.Column("number", _BIG_KEY, primary_key=True, autoincrement=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("previous", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("signature", sa.LargeBinary(64), nullable=False),
    )
