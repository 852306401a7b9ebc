"""Short links lead to the page that takes a new card, too."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds whose page it is."""
    op.add_column("short_links", sa.Column("customer_id", sa.Text))
