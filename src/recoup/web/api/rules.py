"""How a merchant stands under rules on its counts and shares, what its attempts cost under rules, and how channels did."""

from typing import Annotated

import msgspec

from recoup.domain.instants import Instant
from recoup.insight import by_channel, fees, monitors
from recoup.insight.by_channel import ByChannel
from recoup.insight.fees import Fees
from recoup.insight.figures import Figure
from recoup.insight.fresh import frame
from recoup.insight.monitors import Monitor
from recoup.web.endpoint import Call, endpoint

Month = Annotated[str, msgspec.Meta(pattern=r"^(\d{4}-\d{2})?$")]


class FeesQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which months (`YYYY-MM`), both included; all where none is named."""

    since: Month = ""
    until: Month = ""


class FeesTold(msgspec.Struct, frozen=True, kw_only=True):
    """Fees by month, network, rule and currency; `figures` are the sums of each month and currency, with their meaning.

    Amounts of `items` are decimals in major units, those of `figures` in minor units. `doubts` hold for all of them.
    """

    as_of: Instant
    label: str | None
    items: list[Fees]
    figures: list[Figure]
    doubts: list[str]
    next: str | None = None


@endpoint("GET", "/v1/fees", scope="read")
def get_fees(call: Call, query: FeesQuery) -> FeesTold:
    """Sums what attempts cost under network and scheme rules: beyond a count, after a final refusal, against advice.

    Every attempt of every case counts, whoever made it, at the list price of its day. Prices go by the country of the
    card, since the merchant's own is not known here. The last month is still running.
    """
    found = frame(call.house, call.merchant)
    ledger = fees.of_merchant(call.house, call.merchant, found)
    last = query.until or "9999-12"
    return FeesTold(
        as_of=found.as_of, label=found.label, doubts=list(ledger.doubts),
        items=[row for row in ledger.rows if query.since <= row.month <= last],
        figures=[f for f in ledger.figures if query.since <= f.of <= last],
    )  # fmt: skip


class MonitorsTold(msgspec.Struct, frozen=True, kw_only=True):
    """Every rule on a whole merchant's count or share, with its window, what was counted, and how it stands."""

    as_of: Instant
    label: str | None
    items: list[Monitor]
    next: str | None = None


@endpoint("GET", "/v1/monitors", scope="read")
def get_monitors(call: Call) -> MonitorsTold:
    """Measures the rules on the whole merchant: Visa's VAMP and data-quality volume, Nacha's return rates.

    Where the records here do not suffice the status is `unseen`, and `because` says what is missing. Shares are estimates:
    the charges of a month are taken from the coming renewals.
    """
    found = frame(call.house, call.merchant)
    items = monitors.of_merchant(call.house.db, call.merchant, found)
    return MonitorsTold(as_of=found.as_of, label=found.label, items=items)


class ChannelsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many days back."""

    days: Annotated[int, msgspec.Meta(ge=1, le=366)] = by_channel.USUAL


class ChannelsTold(msgspec.Struct, frozen=True, kw_only=True):
    """Messages by channel, with what is counted and what must not be read from it."""

    as_of: Instant
    label: str | None
    days: int
    definition: str
    caution: str
    items: list[ByChannel]
    next: str | None = None


@endpoint("GET", "/v1/channels", scope="read")
def get_channels(call: Call, query: ChannelsQuery) -> ChannelsTold:
    """Counts messages by the channel that was really used: sent, reached, opened (by machines apart), followed, paid after.

    Each payment counts once, for the last message within 72 hours before it. That is an order in time and no cause.
    """
    found = frame(call.house, call.merchant)
    told = by_channel.of_merchant(call.house.db, call.merchant, found, days=query.days)
    return ChannelsTold(
        as_of=found.as_of, label=found.label, days=told.days, definition=told.definition, caution=told.caution, items=list(told.rows)
    )  # fmt: skip


endpoints = (get_fees, get_monitors, get_channels)
