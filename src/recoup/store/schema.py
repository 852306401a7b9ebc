"""What all tables share: their names for keys and indexes, the merchant's column, room to move on the page."""

import sqlalchemy as sa

metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)


MOVING = {
    "fillfactor": 60,
    "autovacuum_vacuum_scale_factor": 0.05,
    "autovacuum_analyze_scale_factor": 0.05,
}
"""For tables whose rows change where they stand, on PostgreSQL: room on the page for the next version of a row, so that
a step that touches no indexed column writes no index, and what is left behind is cleared away early."""


def of_merchant() -> sa.Column[str]:
    """The merchant a row belongs to, first in its key."""
    return sa.Column("merchant_id", sa.Text, primary_key=True)
