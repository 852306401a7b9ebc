"""Messages by channel: how many were sent, reached, were opened and followed, and what was paid after them, in order of time."""

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

from recoup.domain.instants import to_micros
from recoup.insight.figures import Interval
from recoup.insight.frame import Frame
from recoup.insight.intervals import FEW, wilson
from recoup.insight.words import CHANNELS
from recoup.store import reports
from recoup.store.engines import reading

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from recoup.store.merchants import Merchant

SPANS = (30, 90, 365)
"""Days back that pages offer."""
USUAL = 90
PAID_WITHIN = timedelta(hours=72)
TOLD_OF = frozenset({"email"})
"""Channels of which anybody tells whether a message was opened or followed."""
DEFINITION = (
    "Messages of failed renewals that were sent within the span, by the channel that was really used. Reached: sent, and did not come "
    "back, as far as anybody tells. Opened: by a person, or followed; a letter that only machines opened stands apart and is "
    "counted as reached. Not told: no provider reports it for this channel. Paid after: payments that came within 72 hours, each "
    "counted once, for the last message before it, whatever made it; of messages that are 72 hours old"
)
CAUTION = (
    "Paid after is an order in time, not a cause: retries run beside, and each channel is used for other customers at other "
    "moments, so that no channel is shown to be better by it. What messages bring at all, the holdout tells"
)


class ByChannel(msgspec.Struct, frozen=True, kw_only=True):
    """One channel. `opened`, `clicked` and `machine` (letters that machines opened and no person) are None where nobody tells.
    `ripe`: those reached that are 72 hours old; `paid` of them, with the interval of the share."""

    channel: str
    name: str
    sent: int
    came_back: int
    reached: int
    opened: int | None
    machine: int | None
    clicked: int | None
    complained: int
    ripe: int
    paid: int
    paid_interval: Interval | None


class Channels(msgspec.Struct, frozen=True, kw_only=True):
    """Every channel that was used within `days`, the most used first."""

    days: int
    rows: tuple[ByChannel, ...]
    definition: str = DEFINITION
    caution: str = CAUTION


class _Counted(msgspec.Struct, frozen=True, kw_only=True):
    channel: str
    sent: int
    came_back: int
    heard_of: int
    opened: int
    clicked: int
    complained: int
    ripe: int
    paid: int


_REACHED = "status IN ('sent', 'delivered', 'opened', 'clicked', 'complained')"
_SQL = """
WITH gone AS (
    SELECT case_n, id, channel, status, told_at, paid_within_72h AND {reached} AS before_paid
    FROM messages WHERE id IS NOT NULL AND (status = 'bounced' OR {reached}) AND epoch_us(told_at) > {since}
        AND case_n IN (SELECT case_n FROM renewals WHERE outcome <> 'X')
), told AS (
    SELECT *, {reached} AND epoch_us(told_at) <= {ripe} AS is_ripe,
        before_paid AND row_number() OVER (PARTITION BY case_n, before_paid ORDER BY told_at DESC, id DESC) = 1 AS last_before
    FROM gone
)
SELECT channel, COUNT(*) AS sent, CAST(SUM(CASE WHEN status = 'bounced' THEN 1 ELSE 0 END) AS BIGINT) AS came_back,
    CAST(SUM(CASE WHEN status <> 'sent' THEN 1 ELSE 0 END) AS BIGINT) AS heard_of,
    CAST(SUM(CASE WHEN status IN ('opened', 'clicked') THEN 1 ELSE 0 END) AS BIGINT) AS opened,
    CAST(SUM(CASE WHEN status = 'clicked' THEN 1 ELSE 0 END) AS BIGINT) AS clicked,
    CAST(SUM(CASE WHEN status = 'complained' THEN 1 ELSE 0 END) AS BIGINT) AS complained,
    CAST(SUM(CASE WHEN is_ripe THEN 1 ELSE 0 END) AS BIGINT) AS ripe,
    CAST(SUM(CASE WHEN is_ripe AND last_before THEN 1 ELSE 0 END) AS BIGINT) AS paid
FROM told GROUP BY channel ORDER BY sent DESC, channel"""


def of_merchant(engine: "Engine", merchant: "Merchant", frame: Frame, *, days: int = USUAL) -> Channels:
    """The channels of the last `days` days, as of the frame."""
    with reading(engine) as tx:
        machines = reports.by_machines_alone(tx, merchant.id, frame.as_of - timedelta(days=days))
    return channels(frame, machines, days=days)


def channels(frame: Frame, machines: Mapping[str, int], *, days: int = USUAL) -> Channels:
    """The same with how many letters of each channel were opened by machines alone."""
    sql = _SQL.format(
        reached=_REACHED, since=to_micros(frame.as_of - timedelta(days=days)), ripe=to_micros(frame.as_of - PAID_WITHIN)
    )  # fmt: skip
    rows = [_row(c, machines.get(c.channel, 0)) for c in frame.rows(sql, kind=_Counted)]
    return Channels(days=days, rows=tuple(rows))


def _row(c: _Counted, machine: int) -> ByChannel:
    told = c.channel in TOLD_OF and (c.heard_of > 0 or machine > 0)
    return ByChannel(
        channel=c.channel, name=CHANNELS.get(c.channel, c.channel), sent=c.sent, came_back=c.came_back, reached=c.sent - c.came_back,
        opened=c.opened if told else None, machine=machine if told else None, clicked=c.clicked if told else None,
        complained=c.complained, ripe=c.ripe, paid=c.paid, paid_interval=wilson(c.paid, c.ripe) if c.ripe else None,
    )  # fmt: skip


HEAD = ("channel", "sent", "came_back", "reached", "opened", "opened_by_machines_alone", "clicked", "complained", "reached_72_hours_ago",
        "paid_within_72_hours", "share", "low", "high")  # fmt: skip


def table(found: Channels) -> list[tuple[object, ...]]:
    """The rows as a file has them; what nobody tells is empty."""
    return [
        (r.channel, r.sent, r.came_back, r.reached, r.opened, r.machine, r.clicked, r.complained, r.ripe, r.paid,
         *((round(r.paid / r.ripe, 4), round(r.paid_interval.low, 4), round(r.paid_interval.high, 4)) if r.paid_interval else (None,) * 3))
        for r in found.rows
    ]  # fmt: skip


def paid_words(r: ByChannel) -> str:
    """`12 of 40, 30% (18% to 45%)`; few are told without a share."""
    if r.paid_interval is None:
        return "none is 72 hours old"
    if r.ripe < FEW:
        return f"{r.paid:,} of {r.ripe:,}"
    i = r.paid_interval
    return f"{r.paid:,} of {r.ripe:,}, {r.paid / r.ripe:.0%} ({i.low:.0%} to {i.high:.0%})"
