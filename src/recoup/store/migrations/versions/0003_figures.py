"""What figures need: an index of rare facts, what the merchant tells of its company, and forecasts to be held to."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

AFTERMATH = (
    "kind IN ('amount_changed', 'dispute_lost', 'disputed', 'method_updated', 'paid_elsewhere', 'refunded', "
    "'surplus_refunded')"
)


def upgrade() -> None:
    """Adds the index and the two tables."""
    only = sa.text(AFTERMATH)
    op.create_index(
        "ix_facts_aftermath",
        "facts",
        ["merchant_id", "case_id", "seq"],
        postgresql_where=only,
        sqlite_where=only,
    )
    op.create_table(
        "company_facts",
        sa.Column("merchant_id", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("told_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", name=op.f("pk_company_facts")),
    )
    op.create_table(
        "forecasts",
        sa.Column("merchant_id", sa.Text, nullable=False),
        sa.Column("made_at", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", "made_at", "currency", name=op.f("pk_forecasts")),
    )
