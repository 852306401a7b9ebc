"""Text messages and push: numbers with consent, who stopped them, short links, and each merchant's doors."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds two tables, and columns to three."""
    op.add_column("merchants", sa.Column("doors", sa.LargeBinary))
    op.add_column("customers", sa.Column("phone", sa.Text))
    op.add_column("customers", sa.Column("sms_consent_at", sa.BigInteger))
    op.add_column("outbox", sa.Column("phone", sa.Text))
    known = sa.text("phone IS NOT NULL")
    op.create_index(
        "ix_outbox_phone", "outbox", ["phone", "done_at"], postgresql_where=known, sqlite_where=known
    )
    op.create_table(
        "stopped",
        sa.Column("merchant_id", sa.Text, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", "address", name=op.f("pk_stopped")),
    )
    op.create_table(
        "short_links",
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("merchant_id", sa.Text, nullable=False),
        sa.Column("case_id", sa.Text, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_short_links")),
    )
    op.create_index("ix_short_links_expires", "short_links", ["expires_at"])
