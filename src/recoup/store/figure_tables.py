"""Tables of what figures are made with: what only the merchant knows, and the forecasts that were made."""

import sqlalchemy as sa

from recoup.store.columns import Moment
from recoup.store.schema import metadata, of_merchant

company_facts = sa.Table(
    "company_facts",
    metadata,
    of_merchant(),
    # What only the merchant knows: recurring revenue, active subscriptions, margins; JSON, see insight/company.py.
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("told_at", Moment, nullable=False),
)

forecasts = sa.Table(
    "forecasts",
    metadata,
    of_merchant(),
    # The day it was made, in the merchant's own time; one a day and currency is kept, to be held against what came.
    sa.Column("made_at", Moment, primary_key=True),
    sa.Column("currency", sa.Text, primary_key=True),
    sa.Column("body", sa.Text, nullable=False),
)
