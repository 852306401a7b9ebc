"""Rules on a whole merchant's counts and shares, measured as far as its records reach; where they do not, it says so.

Refusals and returns of renewals are all told here; what went through at first, what never was a renewal, and reports of
fraud are not. So a count seen here is a least count. What is divided by is estimated from the coming renewals that the
billing told, and from nothing else.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

import msgspec

from recoup.decide.rulebook import Rule, rule, rulebook
from recoup.domain.instants import Instant, to_micros, zone
from recoup.domain.winning_code import EUROPE
from recoup.insight.alerts import LEAST, Alert
from recoup.insight.fee_lines import rail_of
from recoup.insight.frame import Frame
from recoup.store import renewals
from recoup.store.engines import reading

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from recoup.store.merchants import Merchant

Status = Literal["pass", "near", "over", "unseen", "none"]
NEAR = 0.8
"""From so much of a threshold on it is near."""
FLOW = timedelta(days=30)
"""The charges of a month are told by the renewals that lie within so many days ahead."""
FEW = 3
"""Fewer than so many are told in the table and raise no alert: one of a hundred is a share too."""
UNTOLD_FLOW = "what went through at first is not told here; tell the coming renewals (POST /v1/customers)"
ESTIMATE = "charges estimated from the coming renewals, one for each subscription that is due within 30 days"


class Monitor(msgspec.Struct, frozen=True, kw_only=True):
    """One rule in one window. Shares between 0 and 1; `threshold` and `value` in the unit of the rule.

    `status`: `pass`, `near` (from 80 % of the threshold on), `over`, `unseen` (these records do not suffice; `because` says
    why) or `none` (nothing here that the rule is about, or not in force yet).
    """

    rule: str
    what: str
    status: Status
    because: str
    window: str
    since: Instant
    until: Instant
    numerator: int
    numerator_says: str
    denominator: int | None
    denominator_says: str
    value: float | None
    threshold: float
    is_share: bool
    above: int
    """The rule looks at a share only above so many."""
    source_url: str
    confidence: str
    in_force: str


def of_merchant(engine: "Engine", merchant: "Merchant", frame: Frame) -> list[Monitor]:
    """Every rule of the table that watches a whole merchant, as of the frame."""
    with reading(engine) as tx:
        coming = renewals.flow(tx, merchant.id, frame.as_of, frame.as_of + FLOW)
    flow: dict[str, int] = {}
    for kind, network, n in coming:
        rail = rail_of(kind, network)
        flow[rail] = flow.get(rail, 0) + n
    return monitors(frame, flow)


def monitors(frame: Frame, flow: Mapping[str, int]) -> list[Monitor]:
    """The same with the charges of 30 days on each rail, as the coming renewals tell them."""
    return [m for r in rulebook().values() if r.role == "watches" for m in _MEASURES[r.id](frame, r, flow)]


def _volume(frame: Frame, r: Rule, flow: Mapping[str, int]) -> list[Monitor]:
    since = frame.as_of - r.time
    europe = ", ".join(f"'{c}'" for c in sorted(EUROPE))
    codes = f"raw IN ({_quoted(r.codes)}) AND (raw NOT IN ('70', '1A') OR billed_country IN ({europe}))"
    n = _tries(frame, "visa", since, f"result = 'declined' AND {codes}")
    seen = "declines of first payments and at a checkout, which never were a renewal, are not told here"
    most = r.count_in("", frame.as_of.date())
    if not _known(frame, "visa"):
        return [
            _made(
                frame,
                r,
                since,
                n=0,
                says="data-quality declines",
                status="none",
                because="no Visa card is known here",
            )
        ]
    status: Status = "over" if n >= most else "near" if n >= NEAR * most else "pass"
    return [
        _made(
            frame,
            r,
            since,
            n=n,
            says="data-quality declines of renewals and retries",
            status=status,
            because=f"at least; {seen}",
        )
    ]


def _vamp(frame: Frame, r: Rule, flow: Mapping[str, int]) -> list[Monitor]:
    here = frame.as_of.astimezone(zone(frame.stamp.zone))
    this = here.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    last = (this - timedelta(days=1)).replace(day=1)
    whole = _disputed_share(frame, r, flow, last, this, f"{last:%Y-%m}")
    return [whole, _disputed_share(frame, r, flow, this, frame.as_of, f"{this:%Y-%m} so far")]


def _disputed_share(
    frame: Frame, r: Rule, flow: Mapping[str, int], since: datetime, until: datetime, window: str
) -> Monitor:
    n, sales = _disputes(frame, "visa", since, until), flow.get("visa", 0)
    threshold, floor = r.count_in("", until.date()) / 10_000, r.above
    seen = "disputes of charges that never failed, and reports of fraud, are not told here"

    def made(status: Status, because: str) -> Monitor:
        return _made(
            frame, r, since, until=until, n=n, says="disputes of cases here", status=status, because=because, window=window,
            of=sales or None, of_says=f"Visa charges a month; {ESTIMATE}" if sales else "settled Visa sales",
        )  # fmt: skip

    if until.date() < r.since:
        return made("none", f"not in force before {r.since}")
    if not sales and not _known(frame, "visa"):
        return made("none", "no Visa card is known here")
    if not sales:
        return made("unseen", f"{seen}; {UNTOLD_FLOW}")
    share = n / sales
    if n > floor and share >= threshold:
        return made("over", f"at least; {seen}")
    if n > NEAR * floor and share >= NEAR * threshold:
        return made("near", f"at least; {seen}")
    return made("unseen", f"{seen}, so that it is at least {n / sales:.2%} and may be more")


def _returns(frame: Frame, r: Rule, flow: Mapping[str, int]) -> list[Monitor]:
    since = frame.as_of - r.time
    codes = f"raw IN ({_quoted(r.codes)})" if r.codes else "TRUE"
    n = _tries(frame, "ach_debit", since, f"result = 'declined' AND {codes}")
    says = "returned debits with these codes" if r.codes else "returned debits"
    if r.id != "NACHA-RATE-ADMIN":
        n += _disputes(frame, "ach_debit", since, frame.as_of)
        says += ", and debits disputed after they were paid"
    seen = _tries(frame, "ach_debit", since, "TRUE")
    again = _tries(frame, "ach_debit", since, "trigger <> 'renewal'")
    coming = flow.get("ach_debit", 0)
    threshold = r.count_in("", frame.as_of.date()) / 10_000
    entries = max(seen, round(coming * (r.time / FLOW)) + again) if coming else None

    def made(status: Status, because: str) -> Monitor:
        told = (
            f"debits in the window: retries as they were, first {ESTIMATE}"
            if coming
            else "debits in the window"
        )
        return _made(
            frame, r, since, n=n, says=says, status=status, because=because, of=entries, of_says=told
        )

    if not seen and not coming:
        return [made("none", "no ACH debit is known here")]
    if entries is None:
        if n < NEAR * threshold * seen or not n:
            return [
                made(
                    "pass",
                    f"{n} of the {seen} debits that are told here at all; those that went through at first only lower the share",
                )
            ]
        return [made("unseen", f"{n} such returns and {seen} debits are told, {UNTOLD_FLOW}")]
    share = n / entries
    status: Status = "over" if share >= threshold else "near" if share >= NEAR * threshold else "pass"
    return [made(status, "an estimate; debits of other than subscriptions are not told here")]


_MEASURES: dict[str, Callable[[Frame, Rule, Mapping[str, int]], list[Monitor]]] = {
    "VISA-CAT3-VOLUME": _volume, "VISA-VAMP": _vamp, "NACHA-RATE-UNAUTH": _returns, "NACHA-RATE-ADMIN": _returns,
    "NACHA-RATE-OVERALL": _returns,
}  # fmt: skip
_COUNTS = frozenset({"VISA-CAT3-VOLUME"})
"""Rules whose threshold is a count and no share."""


def _made(
    frame: Frame, r: Rule, since: datetime, *, n: int, says: str, status: Status, because: str, until: datetime | None = None,
    window: str = "", of: int | None = None, of_says: str = "",
) -> Monitor:  # fmt: skip
    end = until or frame.as_of
    on, is_share = min(end, frame.as_of).date(), r.id not in _COUNTS
    days = "" if r.span is None else f"{r.span.days} days"
    dated = [since for _, _, since in r.elsewhere if since <= on]
    return Monitor(
        rule=r.id, what=r.limits, status=status, because=because, window=window or days, since=since, until=end, numerator=n,
        numerator_says=says, denominator=of, denominator_says=of_says,
        value=(n / of if of else None) if is_share else float(n),
        threshold=r.count_in("", on) / 10_000 if is_share else float(r.count_in("", on)), is_share=is_share, above=r.above,
        source_url=r.source_url, confidence=r.confidence, in_force=_told(max(dated, default=r.since)),
    )  # fmt: skip


def _told(day: object) -> str:
    """The day as text; empty where the table gives none."""
    text = str(day)
    return "" if text.startswith("0001") else text


def _tries(frame: Frame, rail: str, since: datetime, condition: str) -> int:
    """Attempts of all cases on a rail since then."""
    sql = f"SELECT COUNT(*) AS n FROM attempts WHERE {_on(frame, rail)} AND epoch_us(tried_at) > {to_micros(since)} AND ({condition})"
    return int(frame.number(sql))


def _disputes(frame: Frame, rail: str, since: datetime, until: datetime) -> int:
    """Disputes told of cases on a rail, each once."""
    sql = f"""SELECT COUNT(*) AS n FROM events e WHERE kind = 'disputed'
        AND epoch_us(happened_at) >= {to_micros(since)} AND epoch_us(happened_at) < {to_micros(until)}
        AND case_id IN (SELECT case_id FROM attempts WHERE {_on(frame, rail)})"""
    return int(frame.number(sql))


def _known(frame: Frame, rail: str) -> bool:
    return bool(_ways(frame, rail))


def _on(frame: Frame, rail: str) -> str:
    """The condition that an attempt was on a rail."""
    told = [
        f"billed_kind = {_quoted([kind])} AND billed_network IS NOT DISTINCT FROM {_quoted([str(name)]) if name is not None else 'NULL'}"
        for kind, name in _ways(frame, rail)
    ]
    return f"({' OR '.join(told) or 'FALSE'})"


def _ways(frame: Frame, rail: str) -> list[tuple[str, object]]:
    """The kinds of methods and networks, as they are written here, that are on a rail."""
    ways = frame.dicts(
        "SELECT DISTINCT billed_kind AS kind, billed_network AS network FROM attempts WHERE billed_kind IS NOT NULL"
    )
    return [(str(w["kind"]), w["network"]) for w in ways if rail_of(str(w["kind"]), w["network"]) == rail]


def _quoted(values: Sequence[str] | Mapping[str, object]) -> str:
    return ", ".join("'" + v.replace("'", "''") + "'" for v in sorted(values))


def share_words(m: Monitor) -> str:
    """`2 of about 640 (0.31 %), 0.50 % allowed`, or `312 of 25,000 allowed`."""
    if not m.is_share:
        return f"{m.numerator:,} of {m.threshold:,.0f} allowed"
    allowed = f"{100 * m.threshold:.2f} % allowed" + (f" above {m.above:,}" if m.above else "")
    if m.denominator is None or m.value is None:
        return f"{m.numerator:,} counted, {allowed}"
    return f"{m.numerator:,} of about {m.denominator:,} ({100 * m.value:.2f} %), {allowed}"


def alerts_of(found: Sequence[Monitor]) -> list[Alert]:
    """What is near or over a threshold. Going over is an alert of its own, so that silence about `near` does not hide it."""
    loud = [
        m
        for m in found
        if m.status in ("near", "over")
        and m.numerator >= FEW
        and (not m.is_share or (m.denominator or 0) >= LEAST)
    ]
    worst = {m.rule: m for m in sorted(loud, key=lambda m: (m.status == "over", m.since))}
    return [_alert(m) for m in worst.values()]


def _alert(m: Monitor) -> Alert:
    where = "over" if m.status == "over" else "near"
    return Alert(
        kind=f"rule_{where}:{m.rule}", page=m.status == "over", roles=("engineer", "revops", "finance", "admin"),
        link="/insight/rules#monitors",
        says=f"{m.what} {'is over' if m.status == 'over' else 'comes near'} the limit of {rule(m.rule).scheme} ({m.rule}), {m.window}: {share_words(m)}",
        fix=_FIXES[m.rule], band=f"below {NEAR:.0%} of the limit",
    )  # fmt: skip


_FIXES = {
    "VISA-CAT3-VOLUME": "Correct card numbers, expiry dates and security codes before they are charged again; ask the customers for them.",
    "VISA-VAMP": "Speak with your acquirer now; refund before a dispute, and name your brand and address on the statement.",
    "NACHA-RATE-UNAUTH": "Look at how authorisations are taken and kept; stop debits of accounts whose holders deny them.",
    "NACHA-RATE-ADMIN": "Check account and routing numbers when they are given; ask for new ones where a debit came back so.",
    "NACHA-RATE-OVERALL": "Debit later and less often where money is short; ask for another method.",
}  # fmt: skip
