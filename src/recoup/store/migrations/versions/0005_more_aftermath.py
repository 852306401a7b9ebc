"""The index of rare facts also finds what was cancelled or voided after it was paid."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

AFTERMATH = (
    "kind IN ('amount_changed', 'cancelled', 'dispute_lost', 'disputed', 'method_updated', 'paid_elsewhere', "
    "'refunded', 'surplus_refunded', 'voided')"
)


def upgrade() -> None:
    """Makes the index anew."""
    only = sa.text(AFTERMATH)
    op.drop_index("ix_facts_aftermath", "facts")
    op.create_index(
        "ix_facts_aftermath",
        "facts",
        ["merchant_id", "case_id", "seq"],
        postgresql_where=only,
        sqlite_where=only,
    )
