"""Column types of our own: instants as whole microseconds, the same on every database."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeDecorator

from recoup.domain.instants import from_micros, to_micros


class Moment(TypeDecorator[datetime]):
    """An aware UTC datetime, stored as microseconds since 1970 in a BIGINT: exact, small, comparable, zone-free."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> int | None:
        return None if value is None else to_micros(value)

    def process_result_value(self, value: int | None, dialect: Any) -> datetime | None:
        return None if value is None else from_micros(value)
