"""What customers tell us for later debts too, renewals ahead, and tries that all processes count together."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds a column and two tables."""
    op.add_column("customers", sa.Column("stated", sa.Text, nullable=False, server_default="{}"))
    op.create_table(
        "renewals",
        sa.Column("merchant_id", sa.Text, nullable=False),
        sa.Column("customer_id", sa.Text, nullable=False),
        sa.Column("subscription_id", sa.Text, nullable=False),
        sa.Column("due_at", sa.BigInteger, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", "customer_id", "subscription_id", name=op.f("pk_renewals")),
    )
    op.create_index("ix_renewals_due", "renewals", ["merchant_id", "due_at"])
    op.create_table(
        "tries",
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("slot", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("count", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("digest", "slot", name=op.f("pk_tries")),
    )
    op.create_index("ix_tries_slot", "tries", ["slot"])
