"""How long ahead a debit has to be told to its payer, and which rule says so."""

from datetime import datetime, timedelta

import msgspec

from recoup.decide.calendar import after_working_days
from recoup.domain.instants import zone
from recoup.domain.policy import duration_text

_LONGEST = 60
"""Days back that are looked through for the day on which a notice in working days has to leave."""


class Ahead(msgspec.Struct, frozen=True, kw_only=True):
    """A span between notice and debit, or so many full working days of the United Kingdom between them."""

    rule: str
    span: timedelta = timedelta(0)
    working_days: int = 0

    def debit_from(self, left: datetime) -> datetime:
        """The first instant at which a debit may be made whose notice left then."""
        if self.working_days:
            return after_working_days(left, self.working_days, "GB", zone("Europe/London"))
        return left + self.span

    def leaves_by(self, debit_at: datetime) -> datetime:
        """When the notice of a debit at that instant has to leave at the latest, to the day where days are counted."""
        if not self.working_days:
            return debit_at - self.span
        days = (debit_at - timedelta(days=n) for n in range(self.working_days, _LONGEST))
        return next((day for day in days if self.debit_from(day) <= debit_at), debit_at - timedelta(_LONGEST))

    @property
    def says(self) -> str:
        """`P5D`, or `10 working days`."""
        return f"{self.working_days} working days" if self.working_days else duration_text(self.span)
