"""The index of webhooks in trouble holds those that nobody could read: parked ones are in order, and many."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Puts it in the place of the one that held both."""
    refused = sa.text("status = 'refused'")
    columns = ["merchant_id", "received_at"]
    op.drop_index("ix_inbox_stopped", "inbox")
    op.create_index("ix_inbox_refused", "inbox", columns, postgresql_where=refused, sqlite_where=refused)
