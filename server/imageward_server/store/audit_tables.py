"""The tables of the audit: its rows, where their chain ends, and signed checkpoints.

What the columns mean stands in `imageward_server.audit.row`, under the same names.
"""

from __future__ import annotations

import sqlalchemy as sa

from imageward_server.store.schema import BigKey, metadata

row = sa.Table(
    "audit_row",
    metadata,
    sa.Column("number", BigKey, primary_key=True, autoincrement=False),
    sa.Column("at_us", sa.BigInteger, nullable=False),
    sa.Column("actor", sa.String(128), nullable=False),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("action", sa.String(32), nullable=False),
    sa.Column("bank", sa.String(64), nullable=False),
    sa.Column("entries", sa.Text, nullable=False),
    sa.Column("entry_count", sa.Integer, nullable=False),
    sa.Column("case_number", sa.String(16), nullable=False, index=True),
    sa.Column("picture_id", sa.String(32), nullable=False),
    sa.Column("reason", sa.String(256), nullable=False),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("digest", sa.LargeBinary(32), nullable=True),
    sa.Column("mac", sa.LargeBinary(32), nullable=True),
)

head = sa.Table(
    "audit_head",
    metadata,
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

checkpoint = sa.Table(
    "audit_checkpoint",
    metadata,
    sa.Column("number", BigKey, primary_key=True, autoincrement=False),
    sa.Column("at_us", sa.BigInteger, nullable=False),
    sa.Column("previous", sa.BigInteger, nullable=False),
    sa.Column("digest", sa.LargeBinary(32), nullable=False),
    sa.Column("signature", sa.LargeBinary(64), nullable=False),
)
