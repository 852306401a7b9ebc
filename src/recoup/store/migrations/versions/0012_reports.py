"""What came back of a letter: its mark, how far it got, and every report of it."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

WHERE = "mark IS NOT NULL"


def upgrade() -> None:
    """Adds a table, two columns and an index. Letters that have left before are not found by their mark."""
    op.create_table(
        "mail_reports",
        sa.Column("merchant_id", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("once_key", sa.Text, nullable=False),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("what", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger),
        sa.Column("heard_at", sa.BigInteger, nullable=False),
        sa.Column("machine", sa.Text),
        sa.Column("link", sa.Text),
        sa.Column("says", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", "id", name=op.f("pk_mail_reports")),
    )
    op.create_index("ix_mail_reports_letter", "mail_reports", ["merchant_id", "once_key"])
    op.create_index("ix_mail_reports_heard", "mail_reports", ["merchant_id", "heard_at"])
    op.add_column("outbox", sa.Column("mark", sa.Text))
    op.add_column("outbox", sa.Column("reached", sa.Text))
    op.create_index(
        "ix_outbox_mark",
        "outbox",
        ["mark", "merchant_id"],
        postgresql_where=sa.text(WHERE),
        sqlite_where=sa.text(WHERE),
    )
