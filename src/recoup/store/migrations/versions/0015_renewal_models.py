"""A merchant's own learned model of coming renewals, kept beside those that decide."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds a column."""
    op.add_column("merchants", sa.Column("renewal_model", sa.Text))
