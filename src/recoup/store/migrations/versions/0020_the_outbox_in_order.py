"""What waits in the outbox is found in the order it is taken in, also where thousands are due at one instant."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the index of what is due anew, with how often it was tried."""
    op.drop_index("ix_outbox_due", table_name="outbox")
    due = sa.text("next_try_at IS NOT NULL")
    columns = ["merchant_id", "next_try_at", "tries"]
    op.create_index("ix_outbox_due", "outbox", columns, postgresql_where=due, sqlite_where=due)
