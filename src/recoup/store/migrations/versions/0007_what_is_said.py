"""A merchant's own words, further people of a customer who are written to, and whom each message went to."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

WHERE = "address IS NOT NULL"


def upgrade() -> None:
    """Adds two tables, a column and its index."""
    op.create_table(
        "wordings",
        sa.Column("merchant_id", sa.Text, nullable=False),
        sa.Column("language", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("words", sa.Text, nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
        sa.Column("changed_by", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", "language", "key", name=op.f("pk_wordings")),
    )
    op.create_table(
        "customer_contacts",
        sa.Column("merchant_id", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("customer_id", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("email", sa.Text, nullable=False),
        sa.Column("name", sa.Text),
        sa.Column("locale", sa.Text),
        sa.Column("reminders", sa.Boolean, nullable=False, server_default=sa.true()),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", "id", name=op.f("pk_customer_contacts")),
    )
    op.create_index("ix_customer_contacts_customer", "customer_contacts", ["merchant_id", "customer_id"])
    op.add_column("outbox", sa.Column("address", sa.Text))
    op.create_index(
        "ix_outbox_address",
        "outbox",
        ["address", "done_at"],
        postgresql_where=sa.text(WHERE),
        sqlite_where=sa.text(WHERE),
    )
