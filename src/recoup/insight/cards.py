"""Every metric that is a share of cases, attempts or messages: its meaning, its formula and its SQL, side by side."""

from typing import Literal

import msgspec

from recoup.insight.figures import Attribution, Basis, Grouping, Maturity, Meaning, Scope, Unit


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """One metric. `above` and `below` are SQL for one row; the figure is SUM(above) / SUM(below).

    `{days}` in the SQL is the window. The SQL keeps to what every engine understands (no quantiles, no dates), over
    the columns of the extract, so that the same expression runs where the Parquet files are taken.
    """

    id: str
    name: str
    says: str
    formula: str
    basis: Basis
    scope: Scope
    table: Literal["renewals", "renewal_attempts", "messages"] = "renewals"
    where: str = "outcome <> 'X'"
    above: str
    below: str = "1"
    windowed: bool = False
    grouping: Grouping = Grouping.COHORT
    attribution: Attribution = Attribution.NONE
    better: Literal["up", "down", "neither"] = "up"
    unit: Unit = Unit.SHARE

    @property
    def by_value(self) -> bool:
        """Whether amounts are weighed, so that the figure stands for one currency."""
        return self.basis is Basis.VALUE

    def meaning(self, window_days: int | None = None) -> Meaning:
        """The tuple, for that window."""
        return Meaning(
            metric=self.id, unit=self.unit, basis=self.basis, scope=self.scope,
            window_days=window_days if self.windowed else None, grouping=self.grouping,
            maturity=Maturity.MATURE if self.windowed else Maturity.NOT_DEPENDENT, attribution=self.attribution,
        )  # fmt: skip


_BACK = "CASE WHEN outcome = 'R' AND end_day < {days} THEN %s ELSE 0 END"
_RIPE = "outcome <> 'X' AND age_s >= 86400 * {days}"
_STAYED = _RIPE + " AND NOT (outcome = 'LV' AND end_day < {days})"
_WITHIN = "recovered within W days of the first failure, over cases at least W days old"

CARDS: tuple[Card, ...] = (
    Card(
        id="recovery_rate_count", name="Recovery rate, by count", windowed=True, basis=Basis.CASE, scope=Scope.MATURE,
        says=f"Share of failed renewals {_WITHIN}. Who left by themselves stays in the denominator.",
        formula="sum R(W) / |M(W)|", where=_RIPE, above=_BACK % "1", attribution=Attribution.GROSS,
    ),
    Card(
        id="recovery_rate_value", name="Recovery rate, by value", windowed=True, basis=Basis.VALUE, scope=Scope.MATURE,
        says=f"The same by the amount due at the first failure: {_WITHIN}.", formula="sum a R(W) / sum a",
        where=_RIPE, above=_BACK % "due_minor", below="due_minor", attribution=Attribution.GROSS,
    ),
    Card(
        id="recovery_rate_without_leavers", name="Recovery rate, leavers left out", windowed=True, basis=Basis.CASE,
        scope=Scope.MATURE_WITHOUT_LEAVERS, formula="sum R(W) / |M(W) without LV|", where=_STAYED, above=_BACK % "1",
        says="For comparison with tools that drop customers who cancelled during dunning. Always higher.",
        attribution=Attribution.GROSS,
    ),
    Card(
        id="self_cure_rate", name="Self-cures", basis=Basis.CASE, scope=Scope.ALL, where="outcome <> 'X'",
        says="Share of cases that were paid with no retry or message of ours in the 24 hours before: what any tool would claim.",
        formula="recoveries without an action of ours in 24 h / cases", above="CASE WHEN self_cured THEN 1 ELSE 0 END",
        better="neither",
    ),
    Card(
        id="expired_share", name="Share of expired and replaced cards", basis=Basis.CASE, scope=Scope.ALL, better="down",
        says="Share of cases whose first refusal was an expired or replaced card, after the updater.",
        formula="first reason expired / cases", above="CASE WHEN category = 'expired_card' THEN 1 ELSE 0 END",
    ),
    Card(
        id="updater_repairs", name="Failed cards the updater repaired", basis=Basis.CREDENTIAL, scope=Scope.EXPIRED,
        says="Of failed cases with an expired or wrong card, those paid after the updater changed it. Cards repaired before they fail are not seen here.",
        formula="credential cases paid by updater / credential cases", where="outcome <> 'X' AND reason = 'credential'",
        above="CASE WHEN recovered_by = 'updater' THEN 1 ELSE 0 END",
    ),
    Card(
        id="attempt_decline_rate", name="Declined attempts", table="renewal_attempts", basis=Basis.ATTEMPT, scope=Scope.ATTEMPTS,
        where="result IN ('paid', 'declined')", formula="declined attempts / answered attempts", better="down",
        says="Rises when more retries are made; says nothing about how many renewals fail.",
        above="CASE WHEN result = 'declined' THEN 1 ELSE 0 END", grouping=Grouping.CALENDAR,
    ),
    Card(
        id="hard_retry_share", name="Retries after a final refusal", table="renewal_attempts", basis=Basis.ATTEMPT,
        scope=Scope.ATTEMPTS, where="result IN ('paid', 'declined')", better="down", grouping=Grouping.CALENDAR,
        says="Attempts of ours on a credential that had been refused for good. Should be none.",
        formula="attempts after never-retry advice / attempts", above="CASE WHEN after_never THEN 1 ELSE 0 END",
    ),
    Card(
        id="attempts_per_recovery", name="Attempts for each recovery by retry", unit=Unit.MULTIPLE, basis=Basis.CASE,
        scope=Scope.RECOVERED, says="Our attempts on all cases over recoveries by retry. Rising means wasted attempts.",
        formula="our attempts / recoveries by retry", above="our_attempts", better="down",
        below="CASE WHEN outcome = 'R' AND recovered_by = 'retry' THEN 1 ELSE 0 END",
    ),
    Card(
        id="leavers_share", name="Left by themselves", basis=Basis.CASE, scope=Scope.CLOSED, better="down",
        says="Share of closed cases in which the customer cancelled while the case was open.",
        where="outcome IN ('R', 'LI', 'LV')", formula="LV / closed", above="CASE WHEN outcome = 'LV' THEN 1 ELSE 0 END",
    ),
    Card(
        id="delivered_rate", name="Delivered messages", table="messages", basis=Basis.MESSAGE, scope=Scope.SENT,
        where="status IN ('sent', 'delivered', 'opened', 'clicked', 'bounced')", formula="not bounced / sent",
        says="Messages that did not come back. A sender that reports nothing counts as delivered.",
        above="CASE WHEN status <> 'bounced' THEN 1 ELSE 0 END", grouping=Grouping.CALENDAR,
    ),
    Card(
        id="click_rate", name="Clicks", table="messages", basis=Basis.MESSAGE, scope=Scope.DELIVERED,
        where="status IN ('sent', 'delivered', 'opened', 'clicked')", formula="clicked / delivered",
        says="Delivered messages in which a person followed the link. Opens are no evidence: machines open too.",
        above="CASE WHEN status = 'clicked' THEN 1 ELSE 0 END", grouping=Grouping.CALENDAR,
    ),
    Card(
        id="paid_after_message", name="Paid within 72 hours of a message", table="messages", basis=Basis.MESSAGE,
        scope=Scope.DELIVERED, where="status IN ('sent', 'delivered', 'opened', 'clicked')",
        says="Last touch: retries ran beside, so part of it would have come anyway. A holdout tells how much.",
        formula="paid within 72 h / delivered", above="CASE WHEN paid_within_72h THEN 1 ELSE 0 END",
        grouping=Grouping.CALENDAR, attribution=Attribution.LAST_TOUCH,
    ),
)  # fmt: skip
BY_ID = {card.id: card for card in CARDS}
