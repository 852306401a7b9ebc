"""Tables of what the merchant's systems are told, and of what they tell about the use of the product."""

import sqlalchemy as sa

from recoup.store.columns import Moment
from recoup.store.schema import metadata, of_merchant

# Where a merchant's own systems are told what happens: webhooks out.
endpoints = sa.Table(
    "endpoints",
    metadata,
    of_merchant(),
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("url", sa.Text, nullable=False),
    # JSON list of the kinds of event that are told; empty: all.
    sa.Column("events", sa.Text, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    # Sealed, see store/vault.py; the old one signs too while it is being rolled over.
    sa.Column("secret", sa.LargeBinary, nullable=False),
    sa.Column("old_secret", sa.LargeBinary),
    sa.Column("old_until", Moment),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("disabled_at", Moment),
    sa.Column("disabled_why", sa.Text),
    sa.Column("failing_since", Moment),
)

deliveries = sa.Table(
    "deliveries",
    metadata,
    of_merchant(),
    sa.Column("endpoint_id", sa.Text, primary_key=True),
    # The event's id: the same at every address and at every try.
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("event", sa.Text, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    # `queued`, `delivered`, `failed`.
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("tries", sa.Integer, nullable=False, server_default="0"),
    # In real time, whatever clock the merchant lives on.
    sa.Column("next_try_at", Moment),
    sa.Column("claimed_by", sa.Text),
    sa.Column("last_try_at", Moment),
    sa.Column("last_status", sa.Integer),
    sa.Column("last_says", sa.Text),
)
sa.Index("ix_deliveries_due", deliveries.c.merchant_id, deliveries.c.next_try_at,
         postgresql_where=deliveries.c.next_try_at.is_not(None), sqlite_where=deliveries.c.next_try_at.is_not(None))  # fmt: skip
sa.Index(
    "ix_deliveries_listed",
    deliveries.c.merchant_id,
    deliveries.c.endpoint_id,
    deliveries.c.created_at,
    deliveries.c.id,
)

# What a merchant's systems were told last of each customer's access, and when it may change by itself.
access_told = sa.Table(
    "access_told",
    metadata,
    of_merchant(),
    sa.Column("customer_id", sa.Text, primary_key=True),
    sa.Column("access", sa.Text, nullable=False),
    sa.Column("look_at", Moment),
)
sa.Index("ix_access_told_look", access_told.c.merchant_id, access_told.c.look_at,
         postgresql_where=access_told.c.look_at.is_not(None), sqlite_where=access_told.c.look_at.is_not(None))  # fmt: skip

# How much each customer used the product, as the merchant tells it: one row a day.
usage = sa.Table(
    "usage",
    metadata,
    of_merchant(),
    sa.Column("customer_id", sa.Text, primary_key=True),
    # Whole days since 1970-01-01.
    sa.Column("day", sa.Integer, primary_key=True, autoincrement=False),
    # JSON object: name of the signal to its number.
    sa.Column("signals", sa.Text, nullable=False),
    sa.Column("told_at", Moment, nullable=False),
)
