"""Everything about one case that is worked out when somebody looks: the card of its decision, verdicts, fees."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

import msgspec
from sqlalchemy.engine import Connection

from recoup.decide.fees import Entry, totals
from recoup.decide.situation import NOTHING_AROUND
from recoup.domain.case import Case
from recoup.engine.house import House, UnknownPolicy
from recoup.engine.surroundings import around as read_around
from recoup.insight.explanation import Asked, Explanation, explained
from recoup.insight.verdicts import Verdict, verdicts
from recoup.store.merchants import Merchant


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """`decision` is None where nothing is decided now; `verdicts` are of every attempt, in their order."""

    decision: Explanation | None
    verdicts: tuple[Verdict, ...]

    @property
    def said(self) -> Mapping[str, str]:
        """The verdicts in words, by the attempt's id."""
        return {v.attempt_id: v.words for v in self.verdicts}

    @property
    def fees(self) -> tuple[Entry, ...]:
        """What the attempts cost under the rules, those that cost nothing left out."""
        return tuple(
            Entry(attempt_id=v.attempt_id, at=v.at, fee=v.fee) for v in self.verdicts if v.fee is not None
        )

    @property
    def fee_totals(self) -> dict[str, Decimal]:
        """The sum of the fees by currency, in major units."""
        return totals(self.fees)

    @property
    def unpriced(self) -> int:
        """How many attempts cost something that is not known here."""
        return sum(not e.fee.known for e in self.fees)


NOTHING_KNOWN = Card(decision=None, verdicts=())


def card(house: House, tx: Connection, merchant: Merchant, case: Case, now: datetime, *, where: str) -> Card:
    """The card of `case` as it stands at `now`, with times on the clocks of zone `where`; an empty one where the
    case's policy is not stored."""
    try:
        policy = house.policy(tx, merchant.id, case.policy)
    except UnknownPolicy:
        return NOTHING_KNOWN
    around = read_around(house, tx, merchant, [case], [policy], now).get(case.id, NOTHING_AROUND)
    if case.arms:
        around = msgspec.structs.replace(around, arms=case.arms)
    view = case.view(now)
    asked = Asked(view=view, policy=policy, policy_ref=case.policy, around=around)
    return Card(
        decision=explained(case, asked, where=where),
        verdicts=verdicts(view, policy, around.others, country=around.country),
    )
