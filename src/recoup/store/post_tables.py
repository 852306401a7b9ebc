"""Tables of what comes in and goes out: webhooks received, messages and endings to carry out, captured mails."""

import sqlalchemy as sa

from recoup.store.columns import Moment
from recoup.store.schema import metadata, of_merchant

inbox = sa.Table(
    "inbox",
    metadata,
    of_merchant(),
    sa.Column("event_id", sa.Text, primary_key=True),
    sa.Column("psp", sa.Text, nullable=False),
    sa.Column("received_at", Moment, nullable=False),
    sa.Column("raw", sa.LargeBinary, nullable=False),
    # `new`, `done`, `parked` (waits for its object), `refused` (cannot be read; shown).
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("tries", sa.Integer, nullable=False, server_default="0"),
    sa.Column("why", sa.Text),
    sa.Column("debt_id", sa.Text),
    sa.Column("next_try_at", Moment),
)
sa.Index("ix_inbox_due", inbox.c.merchant_id, inbox.c.next_try_at, postgresql_where=inbox.c.next_try_at.is_not(None),
         sqlite_where=inbox.c.next_try_at.is_not(None))  # fmt: skip
sa.Index("ix_inbox_parked", inbox.c.merchant_id, inbox.c.debt_id, postgresql_where=inbox.c.status == "parked",
         sqlite_where=inbox.c.status == "parked")  # fmt: skip

REFUSED = sa.text("inbox.status = 'refused'")
"""Webhooks that nobody could read. Said in these very words, as `tables.OF_SURPLUS`."""
_REFUSED = sa.text("status = 'refused'")
sa.Index(
    "ix_inbox_refused",
    inbox.c.merchant_id,
    inbox.c.received_at,
    postgresql_where=_REFUSED,
    sqlite_where=_REFUSED,
)

outbox = sa.Table(
    "outbox",
    metadata,
    of_merchant(),
    # Says what this is, once for all: `{case}:{step}` for a message, `{case}:ending:{action}` for an ending.
    sa.Column("once_key", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("case_id", sa.Text, nullable=False),
    sa.Column("customer_id", sa.Text),
    sa.Column("step", sa.Text),
    sa.Column("channel", sa.Text),
    sa.Column("body", sa.Text, nullable=False, server_default="{}"),
    sa.Column("created_at", Moment, nullable=False),
    # `queued`, `sent`, `withdrawn`, `failed`.
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("why", sa.Text),
    sa.Column("tries", sa.Integer, nullable=False, server_default="0"),
    sa.Column("next_try_at", Moment),
    sa.Column("claimed_by", sa.Text),
    sa.Column("done_at", Moment),
    # A keyed digest of the mail address of whom it went to, the same for all merchants of this house: one person, one budget.
    sa.Column("address", sa.Text),
    # The same of the phone number of whom it went to, over whichever channel.
    sa.Column("phone", sa.Text),
    # What a letter is known by outside, and how far it has got by what came back: `delivered`, `opened`, `bounced`, ...
    sa.Column("mark", sa.Text),
    sa.Column("reached", sa.Text),
)
sa.Index("ix_outbox_address", outbox.c.address, outbox.c.done_at, postgresql_where=outbox.c.address.is_not(None),
         sqlite_where=outbox.c.address.is_not(None))  # fmt: skip
sa.Index("ix_outbox_phone", outbox.c.phone, outbox.c.done_at, postgresql_where=outbox.c.phone.is_not(None),
         sqlite_where=outbox.c.phone.is_not(None))  # fmt: skip
_DUE = outbox.c.next_try_at.is_not(None)
sa.Index("ix_outbox_due", outbox.c.merchant_id, outbox.c.next_try_at, outbox.c.tries, postgresql_where=_DUE,
         sqlite_where=_DUE)  # fmt: skip
sa.Index("ix_outbox_customer", outbox.c.merchant_id, outbox.c.customer_id, outbox.c.done_at)
sa.Index("ix_outbox_listed", outbox.c.merchant_id, outbox.c.created_at)
sa.Index("ix_outbox_case", outbox.c.case_id, outbox.c.merchant_id)
UNSENT = sa.text("outbox.status IN ('queued', 'failed')")
"""What waits or could not be sent; few."""
_UNSENT = sa.text("status IN ('queued', 'failed')")
sa.Index(
    "ix_outbox_unsent",
    outbox.c.merchant_id,
    outbox.c.status,
    outbox.c.created_at,
    postgresql_where=_UNSENT,
    sqlite_where=_UNSENT,
)

mails = sa.Table(
    "mails",
    metadata,
    of_merchant(),
    sa.Column("once_key", sa.Text, primary_key=True),
    sa.Column("case_id", sa.Text),
    sa.Column("at", Moment, nullable=False),
    sa.Column("recipient", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("html", sa.Text, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("headers", sa.Text, nullable=False, server_default="{}"),
)
