"""Indexes by which the desk's pages find what they show among a million cases."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_INDEXES: tuple[tuple[str, str, tuple[str, ...], str | None], ...] = (
    ("ix_cases_closed", "cases", ("merchant_id", "closed_at"), "closed_at IS NOT NULL"),
    ("ix_cases_queue", "cases", ("merchant_id", "queue"), "queue IS NOT NULL"),
    ("ix_cases_surplus", "cases", ("merchant_id", "id"), "surplus_minor > 0"),
    ("ix_inbox_stopped", "inbox", ("merchant_id", "received_at"), "status IN ('refused', 'parked')"),
    ("ix_outbox_listed", "outbox", ("merchant_id", "created_at"), None),
    ("ix_outbox_case", "outbox", ("case_id", "merchant_id"), None),
    ("ix_outbox_unsent", "outbox", ("merchant_id", "status", "created_at"), "status IN ('queued', 'failed')"),
)


def upgrade() -> None:
    """Adds them."""
    for name, table, columns, where in _INDEXES:
        some = None if where is None else sa.text(where)
        op.create_index(name, table, list(columns), postgresql_where=some, sqlite_where=some)
