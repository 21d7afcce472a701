"""The tables of the intake: cases, links, pictures, reviews, mail, sessions, counts.

No column holds a picture or anything made from one but `intake_picture.tag`, which is
keyed by a key that goes with the picture. Contacts are encrypted, secrets are hashes.
"""

from __future__ import annotations

import enum

import sqlalchemy as sa

from imageward_server.store.schema import metadata


class CaseOrigin(enum.IntEnum):
    """Who began a case; as stored."""

    PARTNER = 1
    PLATFORM = 2


class PictureKind(enum.IntEnum):
    """Why a picture is reviewed; as stored."""

    UPLOAD = 1
    REPORT = 2
    APPEAL = 3


class PictureState(enum.IntEnum):
    """Where a picture is on its way; as stored."""

    ARRIVING = 1
    WAITING = 2
    APPROVED = 3
    REJECTED = 4
    WITHDRAWN = 5
    EXPIRED = 6


case = sa.Table(
    "intake_case",
    metadata,
    sa.Column("number", sa.String(16), primary_key=True),
    sa.Column("origin", sa.SmallInteger, nullable=False),
    sa.Column("opener", sa.String(64), nullable=False),
    sa.Column("region", sa.String(8), nullable=False),
    sa.Column("language", sa.String(8), nullable=False),
    sa.Column("contact", sa.LargeBinary, nullable=True),
    sa.Column("upload_id", sa.String(128), nullable=False),
    sa.Column("surface", sa.String(64), nullable=False),
    sa.Column("pin_hash", sa.String(128), nullable=True),
    sa.Column("opened_us", sa.BigInteger, nullable=False, index=True),
    sa.Column("withdrawn_us", sa.BigInteger, nullable=True),
)

link = sa.Table(
    "intake_link",
    metadata,
    sa.Column("token_hash", sa.LargeBinary(32), primary_key=True),
    sa.Column("case_number", sa.String(16), nullable=False, index=True),
    sa.Column("expires_us", sa.BigInteger, nullable=False),
    sa.Column("used_us", sa.BigInteger, nullable=True),
    sa.Column("revoked_us", sa.BigInteger, nullable=True),
)

picture = sa.Table(
    "intake_picture",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("case_number", sa.String(16), nullable=False, index=True),
    sa.Column("kind", sa.SmallInteger, nullable=False),
    sa.Column("state", sa.SmallInteger, nullable=False),
    sa.Column("tag", sa.LargeBinary(32), nullable=True),
    sa.Column("entry_id", sa.BigInteger, nullable=True, index=True),
    sa.Column("reason", sa.String(32), nullable=False),
    sa.Column("alarm_h", sa.SmallInteger, nullable=False),
    sa.Column("received_us", sa.BigInteger, nullable=False),
    sa.Column("decided_us", sa.BigInteger, nullable=True),
    sa.Column("deleted_us", sa.BigInteger, nullable=True),
    # The job asks for what is not deleted, oldest first.
    sa.Index("ix_intake_picture_deleted_us_received_us", "deleted_us", "received_us"),
)

review = sa.Table(
    "intake_review",
    metadata,
    sa.Column("picture_id", sa.String(32), primary_key=True),
    sa.Column("reviewer", sa.String(64), primary_key=True),
    sa.Column("approved", sa.Boolean, nullable=False),
    sa.Column("reason", sa.String(32), nullable=False),
    sa.Column("reviewed_us", sa.BigInteger, nullable=False),
)

mail = sa.Table(
    "intake_mail",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("case_number", sa.String(16), nullable=False, index=True),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("reason", sa.String(32), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("error", sa.String(200), nullable=False),
    sa.Column("queued_us", sa.BigInteger, nullable=False),
    sa.Column("due_us", sa.BigInteger, nullable=False, index=True),
    sa.Column("sent_us", sa.BigInteger, nullable=True),
)

session = sa.Table(
    "intake_session",
    metadata,
    sa.Column("token_hash", sa.LargeBinary(32), primary_key=True),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("subject", sa.String(64), nullable=False),
    sa.Column("browser_hash", sa.LargeBinary(32), nullable=False),
    sa.Column("seen_us", sa.BigInteger, nullable=False),
    sa.Column("expires_us", sa.BigInteger, nullable=False),
)

failure = sa.Table(
    "intake_failure",
    metadata,
    sa.Column("subject", sa.LargeBinary(32), primary_key=True),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("last_us", sa.BigInteger, nullable=False),
)

stop = sa.Table(
    "intake_stop",
    metadata,
    sa.Column("entry_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("surface", sa.String(64), primary_key=True),
    sa.Column("day", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("action", sa.String(16), primary_key=True),
    sa.Column("count", sa.BigInteger, nullable=False),
)

# The last time that the job saw, so that a clock that was set back is noticed at a start.
watch = sa.Table(
    "intake_watch",
    metadata,
    sa.Column("id", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("seen_us", sa.BigInteger, nullable=False),
)
