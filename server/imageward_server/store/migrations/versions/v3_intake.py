"""The intake: cases, links, pictures, reviews, mail, sessions, counts, audit."""

import sqlalchemy as sa
from alembic import op

revision = "v3"
down_revision = "v2"


def upgrade() -> None:
    """Add the tables; a store without an intake leaves them empty."""
    _create_case()
    _create_link()
    _create_picture()
    _create_review()
    _create_mail()
    _create_session()
    _create_failure()
    _create_stop()
    _create_audit()
    _create_watch()


def _create_case() -> None:
    op.create_table(
        "intake_case",
        sa.Column("number", sa.String(16), primary_key=True),
        sa.Column("origin", sa.SmallInteger, nullable=False),
        sa.Column("opener", sa.String(64), nullable=False),
        sa.Column("region", sa.String(8), nullable=False),
        sa.Column("language", sa.String(8), nullable=False),
        sa.Column("contact", sa.LargeBinary, nullable=True),
        sa.Column("upload_id", sa.String(128), nullable=False),
        sa.Column("surface", sa.String(64), nullable=False),
        sa.Column("pin_hash", sa.String(128), nullable=True),
        sa.Column("opened_us", sa.BigInteger, nullable=False),
        sa.Column("withdrawn_us", sa.BigInteger, nullable=True),
    )
    op.create_index("ix_intake_case_opened_us", "intake_case", ["opened_us"])


def _create_link() -> None:
    op.create_table(
        "intake_link",
        sa.Column("token_hash", sa.LargeBinary(32), primary_key=True),
        sa.Column("case_number", sa.String(16), nullable=False),
        sa.Column("expires_us", sa.BigInteger, nullable=False),
        sa.Column("used_us", sa.BigInteger, nullable=True),
        sa.Column("revoked_us", sa.BigInteger, nullable=True),
    )
    op.create_index("ix_intake_link_case_number", "intake_link", ["case_number"])


def _create_picture() -> None:
    op.create_table(
        "intake_picture",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("case_number", sa.String(16), nullable=False),
        sa.Column("kind", sa.SmallInteger, nullable=False),
        sa.Column("state", sa.SmallInteger, nullable=False),
        sa.Column("tag", sa.LargeBinary(32), nullable=True),
        sa.Column("entry_id", sa.BigInteger, nullable=True),
        sa.Column("reason", sa.String(32), nullable=False),
        sa.Column("alarm_h", sa.SmallInteger, nullable=False),
        sa.Column("received_us", sa.BigInteger, nullable=False),
        sa.Column("decided_us", sa.BigInteger, nullable=True),
        sa.Column("deleted_us", sa.BigInteger, nullable=True),
    )
    op.create_index("ix_intake_picture_case_number", "intake_picture", ["case_number"])
    op.create_index("ix_intake_picture_entry_id", "intake_picture", ["entry_id"])
    op.create_index(
        "ix_intake_picture_deleted_us_received_us", "intake_picture", ["deleted_us", "received_us"]
    )


def _create_review() -> None:
    op.create_table(
        "intake_review",
        sa.Column("picture_id", sa.String(32), primary_key=True),
        sa.Column("reviewer", sa.String(64), primary_key=True),
        sa.Column("approved", sa.Boolean, nullable=False),
        sa.Column("reason", sa.String(32), nullable=False),
        sa.Column("reviewed_us", sa.BigInteger, nullable=False),
    )


def _create_mail() -> None:
    op.create_table(
        "intake_mail",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("case_number", sa.String(16), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(32), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("error", sa.String(200), nullable=False),
        sa.Column("queued_us", sa.BigInteger, nullable=False),
        sa.Column("due_us", sa.BigInteger, nullable=False),
        sa.Column("sent_us", sa.BigInteger, nullable=True),
    )
    op.create_index("ix_intake_mail_case_number", "intake_mail", ["case_number"])
    op.create_index("ix_intake_mail_due_us", "intake_mail", ["due_us"])


def _create_session() -> None:
    op.create_table(
        "intake_session",
        sa.Column("token_hash", sa.LargeBinary(32), primary_key=True),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("subject", sa.String(64), nullable=False),
        sa.Column("browser_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("seen_us", sa.BigInteger, nullable=False),
        sa.Column("expires_us", sa.BigInteger, nullable=False),
    )


def _create_failure() -> None:
    op.create_table(
        "intake_failure",
        sa.Column("subject", sa.LargeBinary(32), primary_key=True),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("last_us", sa.BigInteger, nullable=False),
    )


def _create_stop() -> None:
    op.create_table(
        "intake_stop",
        sa.Column("entry_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("surface", sa.String(64), primary_key=True),
        sa.Column("day", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("action", sa.String(16), primary_key=True),
        sa.Column("count", sa.BigInteger, nullable=False),
    )


def _create_audit() -> None:
    op.create_table(
        "intake_audit",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.String(64), nullable=False),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("case_number", sa.String(16), nullable=False),
        sa.Column("picture_id", sa.String(32), nullable=False),
    )
    op.create_index("ix_intake_audit_at_us", "intake_audit", ["at_us"])


def _create_watch() -> None:
    op.create_table(
        "intake_watch",
        sa.Column("id", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("seen_us", sa.BigInteger, nullable=False),
    )
