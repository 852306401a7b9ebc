"""Attempts can be found by their id, and by the provider's reference."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds two indexes."""
    op.create_index("ix_attempts_id", "attempts", ["merchant_id", "id"])
    named = sa.text("ref IS NOT NULL")
    op.create_index(
        "ix_attempts_ref", "attempts", ["merchant_id", "ref"], postgresql_where=named, sqlite_where=named
    )
