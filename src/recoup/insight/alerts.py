"""Alerts: what is outside its band, how much money hangs on it, whose it is; nobody is told twice, and nothing below 20."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median

import msgspec
from sqlalchemy.engine import Connection

from recoup.domain.authority import Role
from recoup.domain.instants import from_micros, to_micros
from recoup.insight import words
from recoup.store import alerts, desk_settings

LEAST = 20
"""Events below which nothing is called unusual."""
WIDTH = 4.0
"""How many median absolute deviations a band reaches to either side of the median."""
WEEKS = 8
HORIZON = timedelta(days=14)
SILENCE_FACTOR = 3
LOOKED = "alerts_looked_at"
TAKEN_ON = "staff_looked_after_at"
OF_FIGURES = ":"
"""In the kind of every alert that is found in the figures: of what it is."""
DAY = timedelta(days=1)


class Alert(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing outside its band. `page`: it cannot wait until tomorrow. `roles`: who is told."""

    kind: str
    says: str
    fix: str
    link: str
    roles: tuple[Role, ...]
    page: bool = False
    band: str = ""
    size: str = ""


class Band(msgspec.Struct, frozen=True):
    """What was usual: the median and how far it goes to either side."""

    low: float
    middle: float
    high: float


def band(past: Sequence[float], *, floor: float = 0.0) -> Band:
    """The band of what was seen: median +- 4 median absolute deviations, and at least `floor` to either side."""
    middle = median(past)
    reach = max(WIDTH * median(abs(x - middle) for x in past), floor)
    return Band(middle - reach, middle, middle + reach)


Look = Callable[[Connection, str, datetime], Alert | None]


def raised(connection: Connection, merchant_id: str, now: datetime) -> list[Alert]:
    """Every alert that holds now."""
    looks: tuple[Look, ...] = (_spike, _drop, _silence, _unknown, _surplus)
    found = [look(connection, merchant_id, now) for look in looks]
    month, week = alerts.messages_since(connection, merchant_id, now - 28 * DAY, now - 7 * DAY)
    found += [_messages(week), _complaints(connection, merchant_id, now, month)]
    return [a for a in found if a is not None]


def refresh(
    connection: Connection, merchant_id: str, now: datetime, more: Sequence[Alert] | None = ()
) -> list[Alert]:
    """Writes down what holds now, `more` of it (`holding.holding`) included, and clears the rest; those nobody was told of
    yet, unless silenced. Where nobody could look at the figures (None), what they held before goes on standing."""
    found = {a.kind: a for a in (*raised(connection, merchant_id, now), *(more or ()))}
    bodies = {k: msgspec.json.encode(a).decode() for k, a in found.items()}
    alerts.refresh(connection, merchant_id, bodies, now, unseen=OF_FIGURES if more is None else None)
    desk_settings.put(connection, merchant_id, LOOKED, to_micros(now), by="engine", now=now)
    kept = alerts.standing(connection, merchant_id)
    return [a for kind, a in found.items() if kept[kind].told_at is None and not quiet(kept[kind], now)]


def looked_at(connection: Connection, merchant_id: str) -> datetime | None:
    """When `refresh` last wrote down what holds, by the merchant's clock."""
    told = desk_settings.get(connection, merchant_id, LOOKED)
    return from_micros(told) if isinstance(told, int) else None


def turn(connection: Connection, merchant_id: str, now: datetime, every: timedelta) -> bool:
    """Whether nobody has taken it upon himself within `every` to look after staff; then it is ours. For one worker of many."""
    last = desk_settings.get(connection, merchant_id, TAKEN_ON)
    if isinstance(last, int) and timedelta(0) <= now - from_micros(last) < every:
        return False
    desk_settings.put(connection, merchant_id, TAKEN_ON, to_micros(now), by="engine", now=now)
    return True


def quiet(standing: alerts.Standing, now: datetime) -> bool:
    """Whether somebody has asked for silence and it is not over yet."""
    return standing.silent_until is not None and standing.silent_until > now


def _spike(connection: Connection, merchant_id: str, now: datetime) -> Alert | None:
    days = [now - timedelta(days=7 * n) for n in range(WEEKS + 1)]
    today, *past = alerts.opened_by_day(connection, merchant_id, days)
    if today < LEAST or sum(x > 0 for x in past) < WEEKS // 2:
        return None
    usual = band(past, floor=max(2.0, 0.5 * median(past)))
    if today <= usual.high:
        return None
    return Alert(
        kind="failure_spike", page=True, roles=("engineer", "revops", "admin"), link="/cases?state=open",
        says=f"{today:,} payments failed in 24 hours, where {usual.middle:.0f} are usual on this day of the week",
        fix="Look whether one provider, country or bank stands out: an outage there wants patience, not more retries.",
        band=f"up to {usual.high:.0f}",
    )  # fmt: skip


def _drop(connection: Connection, merchant_id: str, now: datetime) -> Alert | None:
    cohorts = alerts.weeks(connection, merchant_id, now - HORIZON, WEEKS + 1, HORIZON)
    (n, back), *past = cohorts
    rates = [r / m for m, r in past if m >= LEAST]
    if n < LEAST or len(rates) < WEEKS // 2:
        return None
    usual = band(rates, floor=2 * (0.25 / n) ** 0.5)
    if back / n >= usual.low:
        return None
    return Alert(
        kind="recovery_drop", roles=("revops", "admin"), link="/insight",
        says=(
            f"Of {n} payments that failed in the week before {words.day(now - HORIZON, 'UTC')}, {back / n:.0%} came back "
            f"within 14 days, where {usual.middle:.0%} are usual"
        ),
        fix="Look at the causes of that week first: a different mix explains most drops.",
        band=f"down to {usual.low:.0%}",
    )  # fmt: skip


def _silence(connection: Connection, merchant_id: str, now: datetime) -> Alert | None:
    heard = alerts.heard_at(connection, merchant_id, now - timedelta(days=28))
    if len(heard) < LEAST:
        return None
    gaps = sorted((a - b for a, b in pairwise(heard)), reverse=True)
    usual = gaps[len(gaps) // 20]  # the gap that one in twenty exceeds: nights and weekends are usual
    quiet_for = now - heard[0]
    if quiet_for <= max(SILENCE_FACTOR * usual, timedelta(hours=1)):
        return None
    return Alert(
        kind="webhook_silence", page=True, roles=("engineer", "admin"), link="/webhooks",
        says=f"The provider has told us nothing for {words.span(quiet_for)}; usually it is never silent for {words.span(usual)}",
        fix="Check the webhook endpoint in the provider's dashboard; what was missed can be sent again from there.",
        band=f"up to {words.span(SILENCE_FACTOR * usual)}",
    )  # fmt: skip


def _unknown(connection: Connection, merchant_id: str, now: datetime) -> Alert | None:
    count, money = alerts.unknown_since(connection, merchant_id, now - DAY)
    if not count:
        return None
    return Alert(
        kind="unknown_answers", roles=("engineer", "finance", "admin"), link="/queues/data_fault",
        says=f"{_cases(count)} with a payment answer that has been unknown for more than a day; nothing is charged there",
        fix="Look the payments up at the provider: paid ones are closed as paid, lost ones go on.",
        size=_money(money), band="none",
    )  # fmt: skip


def _surplus(connection: Connection, merchant_id: str, now: datetime) -> Alert | None:
    count, money = alerts.surplus(connection, merchant_id)
    if not count:
        return None
    return Alert(
        kind="surplus", page=True, roles=("finance", "admin"), link="/queues/decide",
        says=f"{_cases(count)} where more was collected than was owed",
        fix="Pay it back at the provider, then note it on the case.", size=_money(money), band="none",
    )  # fmt: skip


def _messages(done: Mapping[str, int]) -> Alert | None:
    back = done.get("bounced", 0)
    failed = done.get("failed", 0) + back
    tried = failed + done.get("sent", 0)
    if tried < LEAST or failed / tried <= 0.05:
        return None
    came = f", or came back ({back})" if back else ""
    return Alert(
        kind="message_fault", roles=("engineer", "revops", "admin"), link="/messages?status=failed",
        says=f"{failed} of {tried} messages of the last seven days could not be sent{came}",
        fix="Each says why; `recoup doctor` checks the sender.", band="up to 5 %",
    )  # fmt: skip


def _complaints(
    connection: Connection, merchant_id: str, now: datetime, done: Mapping[str, int]
) -> Alert | None:
    sent = done.get("sent", 0) + done.get("bounced", 0)
    count = alerts.complaints_since(connection, merchant_id, now - 28 * DAY)
    if sent < LEAST or count < 2 or count / sent <= 0.001:
        return None
    return Alert(
        kind="complaints", page=count / sent > 0.003, roles=("revops", "admin"), link="/messages",
        says=f"{count} of {sent:,} messages of the last four weeks were reported as spam",
        fix="Send fewer and later; above 0.3 % mailbox providers stop delivering anything.", band="up to 0.1 %",
    )  # fmt: skip


def _cases(n: int) -> str:
    return "1 case" if n == 1 else f"{n:,} cases"


def _money(by_currency: Mapping[str, int]) -> str:
    return ", ".join(words.money(minor, currency) for currency, minor in sorted(by_currency.items()))
