"""Audiences whose cases begin with a policy of their own."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the column; nobody has such a rule yet."""
    op.add_column("merchants", sa.Column("policy_rules", sa.Text, nullable=False, server_default="[]"))
