"""The tables. Times are microseconds since 1970 UTC, in columns that end in `_us`.

`head` is one row that names the store and counts revisions and serials. Every change
updates it first, so its row lock puts writers in one order, and a revision is neither
skipped nor committed out of order: the feed can be followed with `revision > last seen`.
"""

from __future__ import annotations

import enum

import sqlalchemy as sa

metadata = sa.MetaData()

# SQLite makes a column its row key only if the type is spelled INTEGER.
BigKey = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


class EntryState(enum.IntEnum):
    """Whether checks see an entry; as stored."""

    ACTIVE = 1
    WITHDRAWN = 2


class EntrySource(enum.IntEnum):
    """What an entry was made from; as stored."""

    IMAGE = 1
    HASH = 2


class Encryption(enum.IntEnum):
    """Whether the codes of entries are encrypted; as stored."""

    NONE = 0
    UNDER_WAY = 1
    WHOLE = 2


class ChangeKind(enum.IntEnum):
    """What a row of the feed says; as stored."""

    BANK = 1
    ENTRIES = 2


head = sa.Table(
    "head",
    metadata,
    sa.Column("id", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("store_id", sa.String(32), nullable=False),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("serial", sa.BigInteger, nullable=False),
    sa.Column("encryption", sa.SmallInteger, nullable=False),
    # How many keys of entries were destroyed: the folder of the keys counts them as well.
    sa.Column("destroyed", sa.BigInteger, nullable=False),
    sa.CheckConstraint("id = 1", name="head_is_one_row"),
)

bank = sa.Table(
    "bank",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("name", sa.String(64), nullable=False, unique=True),
    sa.Column("action", sa.String(16), nullable=False),
    sa.Column("radius_bits", sa.SmallInteger, nullable=False),
    sa.Column("surfaces", sa.JSON, nullable=False),
    sa.Column("enabled", sa.Boolean, nullable=False),
    sa.Column("coverage_min", sa.Float, nullable=False),
    sa.Column("review_doubtful", sa.Boolean, nullable=False),
    sa.Column("active_count", sa.BigInteger, nullable=False),
    sa.Column("withdrawn_count", sa.BigInteger, nullable=False),
    sa.Column("created_us", sa.BigInteger, nullable=False),
    sa.Column("updated_us", sa.BigInteger, nullable=False),
    sa.Column("revision", sa.BigInteger, nullable=False),
)

# The bank's number is the upper part of the id: see imageward_index.entry_id.
entry = sa.Table(
    "entry",
    metadata,
    sa.Column("id", BigKey, primary_key=True, autoincrement=False),
    sa.Column("state", sa.SmallInteger, nullable=False),
    sa.Column("source", sa.SmallInteger, nullable=False),
    sa.Column("pdq", sa.LargeBinary(32), nullable=False),
    sa.Column("quality", sa.SmallInteger, nullable=True),
    sa.Column("code_count", sa.SmallInteger, nullable=False),
    sa.Column("reference", sa.String(128), nullable=False),
    sa.Column("created_us", sa.BigInteger, nullable=False),
    sa.Column("updated_us", sa.BigInteger, nullable=False),
    sa.Column("revision", sa.BigInteger, nullable=False),
)

# What finds parts of an entry's picture, as `imageward_index.fingerprint` writes it. Apart
# from the entries, so that reading every hash does not read a hundred times as much.
fingerprint = sa.Table(
    "fingerprint",
    metadata,
    sa.Column("entry_id", BigKey, primary_key=True, autoincrement=False),
    sa.Column("data", sa.LargeBinary, nullable=False),
)

# Withdrawn entries whose codes, and what is left of them anywhere, are to be erased.
erasure = sa.Table(
    "erasure",
    metadata,
    sa.Column("entry_id", BigKey, primary_key=True, autoincrement=False),
    sa.Column("due_us", sa.BigInteger, nullable=False, index=True),
)

# One row says that `entry_count` entries from `first_entry_id` on, which have serials in a
# row, or the bank of `bank_number`, are not what they were before `revision`.
change = sa.Table(
    "change",
    metadata,
    sa.Column("revision", BigKey, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.SmallInteger, nullable=False),
    sa.Column("bank_number", sa.Integer, nullable=False),
    sa.Column("first_entry_id", sa.BigInteger, nullable=True),
    sa.Column("entry_count", sa.Integer, nullable=True),
    sa.Column("changed_us", sa.BigInteger, nullable=False),
)

request = sa.Table(
    "request",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("digest", sa.LargeBinary(32), nullable=False),
    sa.Column("first_entry_id", sa.BigInteger, nullable=True),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("created_us", sa.BigInteger, nullable=False, index=True),
)
