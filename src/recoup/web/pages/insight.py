"""Insight: what came back and why, in one sentence and six pictures; filters stand in the address; made to be printed."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from threading import Lock
from urllib.parse import urlencode

import msgspec
from litestar import Response, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from recoup.engine.house import House
from recoup.insight import extract, fees, fresh, switching, words
from recoup.insight.behind import behind
from recoup.insight.checks import Ground, Report, examine
from recoup.insight.company import Company, facts_of
from recoup.insight.fees import FeeLedger
from recoup.insight.figures import Figure
from recoup.insight.frame import COLUMNS, Frame, Where
from recoup.insight.measure import the
from recoup.insight.opportunities import Ranking, opportunities
from recoup.insight.ranking import Opportunity
from recoup.insight.reasons import NAMES
from recoup.insight.stage import Stage, stage_of
from recoup.insight.switches import SWITCHES, buttons, offered
from recoup.store import merchants
from recoup.store.engines import reading
from recoup.store.merchants import Merchant
from recoup.web.auth import Visit
from recoup.web.pages.desk import desk, no_merchant
from recoup.web.pages.door import Ask, Home, Visitor
from recoup.web.pages.figures_out import csv
from recoup.web.pages.insight_pictures import PICTURES, Picture, waterfall_picture

FILTERS = ("currency", "cohort", "reason", "method", "interval", "country", "policy")
LABELS = {
    "currency": "Currency", "cohort": "Failed in", "reason": "Cause", "method": "Method", "interval": "Billed every",
    "country": "Country", "policy": "Policy",
}  # fmt: skip
WINDOW = 30
CHECKED_FOR = timedelta(minutes=5)
_known: dict[tuple[str, str], tuple[datetime, Report]] = {}
_guard = Lock()
COUNTS = ("waterfall", "reasons")
"""Pictures of amounts and counts: all that a handful of cases can carry."""
FIRST = 3
"""So many tactics of the list stand open."""


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """One filter with what can be chosen."""

    name: str
    label: str
    chosen: str
    options: tuple[tuple[str, str], ...]


def _where(asked: dict[str, str], frame: Frame) -> Where:
    told = {name: str(asked.get(name, ""))[:100] for name in FILTERS}
    if not told["currency"]:
        told["currency"] = (frame.currencies or [""])[0]
    return Where(**told)


def _choices(frame: Frame, where: Where) -> list[Choice]:
    told = ", ".join(f"{COLUMNS[name]} AS {name}_" for name in FILTERS)
    each = " UNION ALL ".join(
        f"(SELECT '{name}' AS name, {name}_ AS value, SUM(n) AS n FROM told GROUP BY 2 ORDER BY n DESC, 2 LIMIT 40)"  # noqa: S608
        for name in FILTERS
    )
    rows = frame.dicts(
        f"WITH told AS MATERIALIZED (SELECT {told}, COUNT(*) AS n FROM renewals GROUP BY ALL) {each}"  # noqa: S608
    )
    found = []
    for name in FILTERS:
        values = [str(r["value"]) for r in rows if r["name"] == name]
        options = tuple((v, NAMES.get(v, v)) for v in values)
        if len(options) > 1:
            found.append(Choice(name=name, label=LABELS[name], chosen=getattr(where, name), options=options))
    return found


def _address(where: Where, **more: str) -> str:
    kept = {**{n: getattr(where, n) for n in FILTERS}, **more}
    return urlencode({k: v for k, v in kept.items() if v})


@get("/insight", sync_to_thread=True, include_in_schema=False)
def insight_page(request: Ask, house: Home, visit: Visitor) -> Response[str]:
    """The page."""
    return _page(request, house, visit, "insight.html")


@get("/insight/board", sync_to_thread=True, include_in_schema=False)
def board_page(request: Ask, house: Home, visit: Visitor) -> Response[str]:
    """The same on paper: one page for people who see it once a month."""
    return _page(request, house, visit, "board.html")


@get("/insight/csv/{picture:str}", sync_to_thread=True, include_in_schema=False)
def picture_csv(request: Ask, house: Home, visit: Visitor, picture: FromPath[str]) -> Response[bytes]:
    """The numbers of one picture as the filters of the address have them."""
    if visit.merchant is None or picture not in PICTURES:
        raise NotFoundException("There is no such picture; Insight shows them all.")
    frame = fresh.frame(house, visit.merchant)
    where = _where({k: str(v) for k, v in request.query_params.items()}, frame)
    ledger = fees.of_merchant(house, visit.merchant, frame) if picture == "waterfall" else None
    found = _drawn(picture, frame, where, facts_of(house.db, visit.merchant.id), ledger)
    return csv(f"{visit.merchant.name}-{picture}", found.head, found.rows)


def _page(request: Ask, house: Home, visit: Visit, template: str) -> Response[str]:
    merchant = visit.merchant
    if merchant is None:
        return no_merchant(visit)
    with reading(house.db) as tx:
        stage = stage_of(tx, merchant.id, visit.now)
    frame = fresh.frame(house, merchant, warm=lambda new: warm(house, merchant, new))
    asked = {k: str(v) for k, v in request.query_params.items()}
    where, company = _where(asked, frame), facts_of(house.db, merchant.id)
    count = the(frame, "recovery_rate_count", window=WINDOW, where=where)
    value = the(frame, "recovery_rate_value", window=WINDOW, where=where) if where.currency else None
    policy, source = switching.current(house, merchant)
    shown = [p for p in PICTURES if (stage.shows_rates or p in COUNTS) and where.currency]
    ledger = fees.at_hand(house, merchant, frame)
    pictures = [_drawn(p, frame, where, company, ledger) for p in shown]
    choices = _choices(frame, where)
    # What goes on behind the page begins when the page has what it needs.
    if ledger is None:
        fees.count_behind(merchant, frame)
    checked = _checked(house, visit, frame, company)
    ranking = _ranked(frame, where, company, checked)
    done = frozenset(SWITCHES) - frozenset(offered(policy))
    best = _rows(ranking, lambda o: o.tactic not in done)
    return desk(
        visit, template, tab="/insight", headline=_headline(count, stage), about=_about(count, value),
        pictures=pictures, choices=choices, counting=ledger is None, query=_address(where), where=where, label=frame.label, stage=stage,
        as_of=frame.as_of, ranking=ranking, faults=checked.faults if checked else (), checking=checked is None, best=best[:FIRST], rest=best[FIRST:], done=asked.get("done", ""),
        on=switching.in_force(house, merchant), switches=buttons(policy, source), already=_rows(ranking, lambda o: o.tactic in done), learned=policy.timing.mode == "learned", any_filter=any(asked.get(n) for n in FILTERS),
    )  # fmt: skip


def _drawn(name: str, frame: Frame, where: Where, company: Company, ledger: FeeLedger | None) -> Picture:
    """A picture; that of the money with the fees of the merchant's attempts."""
    if name == "waterfall":
        return waterfall_picture(frame, where, company, ledger)
    return PICTURES[name](frame, where, company)


def _ranked(frame: Frame, where: Where, company: Company, checked: Report | None) -> Ranking | None:
    if not where.currency or checked is None:
        return None
    return opportunities(frame, where.currency, company, quality=checked.quality, faults=checked.faults)


def begin(house: House) -> None:
    """Has the figures of large merchants asked for behind the doors that just opened: the first visitor need not wait either."""
    root = extract.home(house.db)
    with reading(house.db) as tx:
        everyone = merchants.everyone(tx)
    for merchant in everyone:
        known = extract.current(root, merchant.id)
        if known is not None and known.cases >= fresh.LARGE:
            behind(f"warm {merchant.id}", partial(_begin, house, merchant))


def _begin(house: House, merchant: Merchant) -> None:
    warm(house, merchant, fresh.frame(house, merchant))


def warm(house: House, merchant: Merchant, frame: Frame) -> None:
    """Asks of new figures what the pages ask without filters, so that they answer at once when they are shown."""
    ledger = fees.of_merchant(house, merchant, frame)
    where, company = _where({}, frame), facts_of(house.db, merchant.id)
    _choices(frame, where)
    for metric in ("recovery_rate_count", "recovery_rate_value"):
        the(frame, metric, window=WINDOW, where=where)
    _ranked(frame, where, company, _examined(house, merchant, frame, company))
    for name in PICTURES if where.currency else ():
        _drawn(name, frame, where, company, ledger)


def _checked(house: House, visit: Visit, frame: Frame, company: Company) -> Report | None:
    """The checks of this merchant's data, no older than five minutes: they look at every row, a page need not each time.

    A large merchant's are made behind the page; None where there are none yet.
    """
    merchant = visit.merchant
    assert merchant is not None
    key = (str(house.db.url), merchant.id)
    with _guard:
        known = _known.get(key)
    if known is not None and timedelta(0) <= visit.real - known[0] < CHECKED_FOR:
        return known[1]
    if frame.stamp.cases >= fresh.LARGE:
        behind(f"checks {merchant.id}", lambda: _examined(house, merchant, frame, company))
        return None if known is None else known[1]
    return _examined(house, merchant, frame, company)


def _examined(house: House, merchant: Merchant, frame: Frame, company: Company) -> Report:
    key = (str(house.db.url), merchant.id)
    found = examine(Ground(engine=house.db, merchant=merchant, frame=frame, company=company))
    with _guard:
        _known[key] = (house.clock.now(), found)
    return found


def _headline(count: Figure, stage: Stage) -> str:
    if count.value is None:
        return "Too young to say: no failed renewal is 30 days old yet"
    if not stage.shows_rates or (count.n or 0) < 30:
        back = round(count.value * (count.n or 0))
        return f"{back} of {count.n} failed renewals came back within 30 days"
    return f"{count.value:.0%} of failed renewals come back within 30 days"


def _about(count: Figure, value: Figure | None) -> str:
    parts = []
    if count.value is not None and count.interval is not None:
        parts.append(
            f"by count {count.interval.low:.0%} to {count.interval.high:.0%} of {count.n} cases old enough"
        )
    if value is not None and value.value is not None:
        sure = f" ({value.interval.low:.0%} to {value.interval.high:.0%})" if value.interval else ""
        parts.append(f"by value {value.value:.0%}{sure}")
    parts.append(
        "customers who left count as lost; gross: how much of it is Recoup's doing only a holdout can say"
    )
    return " · ".join(parts)


def _rows(ranking: Ranking | None, wanted: Callable[[Opportunity], bool]) -> list[tuple[str, str, str, str]]:
    """Those of the ranked list that are wanted: what, how much a year, what to switch on, and which tactic that is."""
    if ranking is None or ranking.status != "ranked":
        return []
    return [
        (
            o.name,
            f"{words.money(o.saving_minor[1], ranking.currency)} a year ({words.money(o.saving_minor[0], ranking.currency)} "
            f"to {words.money(o.saving_minor[2], ranking.currency)}), {o.effort_days:g} {'day' if o.effort_days == 1 else 'days'} of work, sure to "
            f"{o.confidence:.0%}",
            o.switch,
            o.tactic,
        )
        for o in ranking.all
        if wanted(o)
    ]


handlers = [insight_page, board_page, picture_csv]
