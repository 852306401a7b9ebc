"""A merchant's own learned models, and which of them decides."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds a table and a column."""
    op.create_table(
        "models",
        sa.Column("merchant_id", sa.Text, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", "version", name=op.f("pk_models")),
    )
    op.add_column("merchants", sa.Column("model", sa.Text))
