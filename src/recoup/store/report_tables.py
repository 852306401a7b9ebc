"""The table of what mail providers and servers told of letters that had left, and how an outbox row is found by its mark."""

import sqlalchemy as sa

from recoup.store.columns import Moment
from recoup.store.schema import metadata, of_merchant
from recoup.store.tables import outbox

sa.Index("ix_outbox_mark", outbox.c.mark, outbox.c.merchant_id, postgresql_where=outbox.c.mark.is_not(None),
         sqlite_where=outbox.c.mark.is_not(None))  # fmt: skip

mail_reports = sa.Table(
    "mail_reports",
    metadata,
    of_merchant(),
    # The teller's own name of the event: told twice, it is one.
    sa.Column("id", sa.Text, primary_key=True),
    # The letter, by its key in the outbox.
    sa.Column("once_key", sa.Text, nullable=False),
    sa.Column("provider", sa.Text, nullable=False),
    # `delivered`, `opened`, `clicked`, `bounced`, `complained`, ... see channels/esp/port.
    sa.Column("what", sa.Text, nullable=False),
    # When it happened by the teller's clock, and when we heard of it by ours.
    sa.Column("at", Moment),
    sa.Column("heard_at", Moment, nullable=False),
    # Why it was no person's doing; null: it may have been.
    sa.Column("machine", sa.Text),
    # A digest of the link that was followed.
    sa.Column("link", sa.Text),
    sa.Column("says", sa.Text, nullable=False),
)
sa.Index("ix_mail_reports_letter", mail_reports.c.merchant_id, mail_reports.c.once_key)
sa.Index("ix_mail_reports_heard", mail_reports.c.merchant_id, mail_reports.c.heard_at)
