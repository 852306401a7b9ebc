"""Where a merchant sits: what the fees of its attempts are priced by."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the column; nobody has told it of those there are."""
    op.add_column("merchants", sa.Column("country", sa.Text))
