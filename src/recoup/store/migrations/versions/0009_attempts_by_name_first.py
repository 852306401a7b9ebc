"""Attempts are found by their id or reference first, so that no planner takes these indexes for another question."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes two indexes anew."""
    op.drop_index("ix_attempts_id", table_name="attempts")
    op.drop_index("ix_attempts_ref", table_name="attempts")
    op.create_index("ix_attempts_id", "attempts", ["id", "merchant_id"])
    named = sa.text("ref IS NOT NULL")
    op.create_index(
        "ix_attempts_ref", "attempts", ["ref", "merchant_id"], postgresql_where=named, sqlite_where=named
    )
