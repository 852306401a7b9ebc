"""Webhooks out with their deliveries, what was told of access, and how much customers use the product."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds four tables."""
    _endpoints()
    _deliveries()
    op.create_table(
        "access_told",
        sa.Column("merchant_id", sa.Text, nullable=False),
        sa.Column("customer_id", sa.Text, nullable=False),
        sa.Column("access", sa.Text, nullable=False),
        sa.Column("look_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("merchant_id", "customer_id", name=op.f("pk_access_told")),
    )
    _where_set("ix_access_told_look", "access_told", ["merchant_id", "look_at"], "look_at")
    op.create_table(
        "usage",
        sa.Column("merchant_id", sa.Text, nullable=False),
        sa.Column("customer_id", sa.Text, nullable=False),
        sa.Column("day", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("signals", sa.Text, nullable=False),
        sa.Column("told_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", "customer_id", "day", name=op.f("pk_usage")),
    )


def _endpoints() -> None:
    op.create_table(
        "endpoints",
        sa.Column("merchant_id", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("events", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("secret", sa.LargeBinary, nullable=False),
        sa.Column("old_secret", sa.LargeBinary),
        sa.Column("old_until", sa.BigInteger),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("disabled_at", sa.BigInteger),
        sa.Column("disabled_why", sa.Text),
        sa.Column("failing_since", sa.BigInteger),
        sa.PrimaryKeyConstraint("merchant_id", "id", name=op.f("pk_endpoints")),
    )


def _deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("merchant_id", sa.Text, nullable=False),
        sa.Column("endpoint_id", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False, server_default="0"),
        sa.Column("next_try_at", sa.BigInteger),
        sa.Column("claimed_by", sa.Text),
        sa.Column("last_try_at", sa.BigInteger),
        sa.Column("last_status", sa.Integer),
        sa.Column("last_says", sa.Text),
        sa.PrimaryKeyConstraint("merchant_id", "endpoint_id", "id", name=op.f("pk_deliveries")),
    )
    _where_set("ix_deliveries_due", "deliveries", ["merchant_id", "next_try_at"], "next_try_at")
    op.create_index("ix_deliveries_listed", "deliveries", ["merchant_id", "endpoint_id", "created_at", "id"])


def _where_set(name: str, table: str, columns: list[str], column: str) -> None:
    there = sa.text(f"{column} IS NOT NULL")
    op.create_index(name, table, columns, postgresql_where=there, sqlite_where=there)
