"""The tables of what is said: a merchant's own words, further people who are written to, and where nothing is sent."""

import sqlalchemy as sa

from recoup.store.columns import Moment
from recoup.store.tables import metadata


def _merchant() -> sa.Column[str]:
    return sa.Column("merchant_id", sa.Text, primary_key=True)


wordings = sa.Table(
    "wordings",
    metadata,
    _merchant(),
    # A merchant's own words for one sentence in one language, checked when they were saved.
    sa.Column("language", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("words", sa.Text, nullable=False),
    sa.Column("changed_at", Moment, nullable=False),
    sa.Column("changed_by", sa.Text, nullable=False),
)

customer_contacts = sa.Table(
    "customer_contacts",
    metadata,
    _merchant(),
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("customer_id", sa.Text, nullable=False),
    # `billing`, `owner`, `other`. Personal data, erased with the customer.
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("email", sa.Text, nullable=False),
    sa.Column("name", sa.Text),
    sa.Column("locale", sa.Text),
    sa.Column("reminders", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.Column("created_at", Moment, nullable=False),
)
sa.Index("ix_customer_contacts_customer", customer_contacts.c.merchant_id, customer_contacts.c.customer_id)

# Addresses and numbers this merchant sends nothing to any more: who answered STOP, what nobody can deliver to. Kept by
# a keyed digest, so that it holds after the customer's data were erased and nothing can be read from it.
stopped = sa.Table(
    "stopped",
    metadata,
    _merchant(),
    sa.Column("address", sa.Text, primary_key=True),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("at", Moment, nullable=False),
)

# Short addresses for what has to fit into a text message; each leads to the page of one case, or where `customer_id` is
# named (and no case) to the page where that customer gives a new card.
short_links = sa.Table(
    "short_links",
    metadata,
    sa.Column("code", sa.Text, primary_key=True),
    sa.Column("merchant_id", sa.Text, nullable=False),
    sa.Column("case_id", sa.Text, nullable=False),
    sa.Column("expires_at", Moment, nullable=False),
    sa.Column("customer_id", sa.Text),
)
sa.Index("ix_short_links_expires", short_links.c.expires_at)
