"""The ledger of fees of a whole merchant: the sum of what every case's own ledger says, by month, network and rule."""

import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from recoup.decide.fees import ledger
from recoup.decide.tries import Counted
from recoup.domain.case import Case
from recoup.domain.view import Attempt, Method, Result, Trigger
from recoup.domain.winning_code import network_name
from recoup.engine.house import House
from recoup.engine.surroundings import around
from recoup.insight.card import card as shown
from recoup.insight.company import Company
from recoup.insight.fees import METRIC, FeeLedger, Fees, cost, fee_ledger, of_merchant
from recoup.insight.figures import Basis, Grouping, Scope, Unit, UnlikeFigures
from recoup.insight.fresh import frame
from recoup.insight.money import waterfall
from recoup.store import merchants
from recoup.store.engines import reading, writing
from recoup.store.merchants import Merchant
from recoup.store.rows import attempt_row
from tests.insight.crafted import NOW, Story, keep, standing_at_now, story
from tests.support.house import standing

Sums = dict[tuple[str, str, str, str], tuple[int, Decimal]]
RAILS: dict[str, Sequence[str]] = {
    "visa": ("51", "05", "54", "14", "43", "R1", "1A", "83", "91"), "mastercard": ("51", "05", "82", "54"), "elo": ("51", "05"),
    "amex": ("116",), "ach_debit": ("R01", "R03"), "sepa_debit": ("AM04",),
}  # fmt: skip
COUNTRIES = ("US", "BR", "DE", "CA", "JP", "us", None)
MACS = (None, None, "03", "21", "24", "26", "02")


@pytest.fixture
def house(sqlite_url: str) -> Iterator[House]:
    with standing(sqlite_url) as made:
        yield made


@pytest.fixture
def merchant(house: House) -> Merchant:
    return standing_at_now(house)


def told(house: House, merchant: Merchant, **more: Any) -> FeeLedger:
    return fee_ledger(frame(house, merchant, at_most=timedelta(0)), **more)


def as_sums(found: FeeLedger) -> Sums:
    return {(r.month, r.network, r.rule, r.currency): (r.attempts, r.amount) for r in found.rows}


def by_case(stories: Sequence[Story], returned: float = 0.0, country: str | None = None) -> Sums:
    """The same from the ledgers of the cases, one after the other."""
    cases = [s.case for s in stories]
    others: dict[str, list[tuple[str, Counted]]] = defaultdict(list)
    for c in cases:
        for a in c.attempts:
            row = attempt_row(c, a)
            identity = str(row["identity"])
            others[identity].append((c.id, Counted(at=a.at, identity=identity, amount_minor=a.amount_minor, result=a.result, psp=a.psp,
                                                   code=a.code, network_code=a.network_code, advice_code=a.advice_code)))  # fmt: skip
    counts: Counter[tuple[str, str, str, str]] = Counter()
    amounts: dict[tuple[str, str, str, str], Decimal] = defaultdict(Decimal)
    for c in cases:
        beside = [o for m in {m.identity for m in c.methods} for id, o in others[m] if id != c.id]
        for entry in ledger(c.view(NOW), others=beside, returned=returned, merchant_country=country):
            rails = _rails(c, next(a for a in c.attempts if a.id == entry.attempt_id))
            for line in entry.fee.lines:
                key = (f"{entry.at:%Y-%m}", rails, line.rule, line.currency)
                counts[key] += 1
                amounts[key] += line.amount
    return {key: (n, amounts[key]) for key, n in counts.items()}


def _rails(c: Case, a: Attempt) -> str:
    named = next((m.identity for m in c.methods if m.id == a.method_id), a.method_id)
    m = c.methods[0] if a.method_id is None else next(m for m in c.methods if m.identity == named)
    return m.kind if m.kind.endswith("_debit") else network_name(m.network)


class Books:
    """Random cards and accounts, each tried far too often, by several cases and with everything odd in between."""

    def __init__(self, seed: int) -> None:
        self.dice, self.n = random.Random(seed), 0

    def card(self) -> list[Story]:
        self.n += 1
        dice, rail = self.dice, self.dice.choice(tuple(RAILS))
        country, identity = dice.choice(COUNTRIES), f"f{self.n}"
        begin = datetime(dice.choice((2021, 2023, 2024, 2025, 2026)), dice.randrange(1, 9), 5, tzinfo=UTC)
        every = dice.choice((0.04, 0.3, 0.9, 2.0))
        codes = dice.sample(RAILS[rail], min(len(RAILS[rail]), dice.randrange(1, 3)))
        many = dice.randrange(1, 4)
        values: dict[str, Any] = {
            "kind": rail if rail.endswith("_debit") else "card",
            "network": None if rail.endswith("_debit") else rail,
            "country": country,
        }
        ways = [
            Method(id=f"{identity}_{k}", fingerprint=identity, **values) for k in range(dice.randrange(1, 3))
        ]
        if dice.random() < 0.3:
            ways.insert(dice.randrange(2), Method(id=f"second_{identity}", network="visa", country="US"))
        tries: list[list[Attempt]] = [[] for _ in range(many)]
        at = begin
        for k in range(dice.randrange(1, 45)):
            at += timedelta(days=every * dice.choice((0.5, 1.0, 1.0, 1.5)), microseconds=k + 1)
            tries[dice.randrange(many)].append(self._try(at, k, codes, ways, rail))
        return [self._case(k, mine, ways, country) for k, mine in enumerate(tries) if mine]

    def _try(self, at: datetime, k: int, codes: Sequence[str], ways: Sequence[Method], rail: str) -> Attempt:
        dice = self.dice
        result = dice.choices((Result.DECLINED, Result.PAID, Result.UNKNOWN), (30, 1, 1))[0]
        named = [None, *(m.id for m in ways), ways[-1].identity, "nobody's"]
        method_id = dice.choices(named, (1, *(30 for _ in ways), 1, 1))[0]
        refused = result is Result.DECLINED
        return Attempt(
            id=f"a{self.n}_{k}", at=at, trigger=Trigger.RECOUP, result=result, method_id=method_id, psp="generic",
            amount_minor=dice.choice((4900, 4900, 4900, 100)), network_code=dice.choice(codes) if refused else None,
            advice_code=dice.choice(MACS) if refused and rail == "mastercard" and dice.random() < 0.4 else None,
        )  # fmt: skip

    def _case(self, k: int, tries: list[Attempt], ways: Sequence[Method], country: str | None) -> Story:
        currency = self.dice.choice(("EUR", "USD", "BRL"))
        plain = story(f"{self.n}_{k}", "O", age=30, currency=currency, customer__country=country)
        changed = msgspec.structs.replace(plain.case, methods=tuple(ways), attempts=tuple(tries))
        return Story(case=changed)


@pytest.mark.parametrize("seed", range(4))
def test_the_merchants_ledger_is_the_sum_of_its_cases(house: House, merchant: Merchant, seed: int) -> None:
    books = Books(seed)
    stories = [s for _ in range(120) for s in books.card()]
    keep(house, merchant, stories)
    found, wanted = as_sums(told(house, merchant, returned={"default@1": 250.0})), by_case(stories, 250.0)
    assert found == wanted
    if seed == 0:
        ruled = {rule for _, _, rule, _ in wanted}
        assert {
            "VISA-CAT1",
            "VISA-CAT2",
            "VISA-VSPS",
            "VISA-CAT4",
            "MC-TPE-24H",
            "MC-TPE-MAC",
            "MC-AUTH-OPTIMIZER",
            "ELO-RETRY",
        } <= ruled


def again(n: str, code: str, days: Sequence[float], *, age: float = 20, **more: Any) -> Story:
    """A renewal refused with that code, and tried again after so many days."""
    return story(n, "O", age=age, reason=code, retries=days, **more)


def test_a_month_is_told_with_its_meaning_its_source_and_its_doubts(house: House, merchant: Merchant) -> None:
    us: dict[str, Any] = {"customer__country": "US", "method__country": "US"}
    keep(house, merchant, [
        again("a", "43", (1, 3), currency="USD", **us),
        again("b", "R1", (2,), age=50),
        again("c", "43", (1,)),  # what Visa asks within Europe is in no list
        again("d", "51", (2, 4, 9)),
        story("e", "R", age=20),
    ])  # fmt: skip
    found = told(house, merchant)
    sums = {
        (r.month, r.rule, r.currency): (r.attempts, cost(r.amount, r.currency), r.unpriced)
        for r in found.rows
    }
    assert sums == {
        ("2026-09", "VISA-VSPS", "EUR"): (1, "1.00 EUR", 0),
        ("2026-10", "VISA-CAT1", "USD"): (2, "0.20 USD", 0),
        ("2026-10", "VISA-CAT1", "EUR"): (1, "0.00 EUR", 1),
    }
    assert all(r.source_url.startswith("https://") and r.kind for r in found.rows)
    dollars = next(f for f in found.figures if f.meaning.currency == "USD")
    meaning = dollars.meaning
    assert (dollars.value, dollars.n, dollars.of, meaning.metric) == (20.0, 2, "2026-10", METRIC)
    assert (meaning.unit, meaning.basis, meaning.scope, meaning.grouping) == (
        Unit.MONEY, Basis.ATTEMPT, Scope.EVERY_ATTEMPT, Grouping.CALENDAR,
    )  # fmt: skip
    euros = [f for f in found.figures if f.meaning.currency == "EUR"]
    assert (euros[0] + euros[1]).value == 100.0
    with pytest.raises(UnlikeFigures, match="currency"):
        dollars + euros[0]
    assert any("where each card was issued" in d for d in found.doubts)
    assert any("1 of 4 cost what is not known here" in d for d in found.doubts)


def test_the_money_says_what_retries_cost_under_the_rules(house: House, merchant: Merchant) -> None:
    """By the ledger of fees, in one currency; what is in another one or has no price is said beside it. What the company
    tells of each retry is its own bill, and comes first."""
    us: dict[str, Any] = {"customer__country": "US", "method__country": "US"}
    keep(house, merchant, [
        again("a", "43", (1, 3), currency="USD", **us), again("b", "R1", (2,)), again("c", "43", (1,)), story("d", "R", currency="USD"),
    ])  # fmt: skip
    found = frame(house, merchant, at_most=timedelta(0))
    ledger = of_merchant(house, merchant, found)

    def bar(currency: str, company: Company | None = None) -> tuple[int | None, str | None, bool]:
        fall = waterfall(found, currency, company, ledger=ledger)
        told = next(b for b in fall.bars if b.id == "penalties")
        return told.minor, told.why, fall.net_minor == fall.gross_minor + sum(b.minor or 0 for b in fall.bars)

    assert bar("USD") == (-20, "1.00 EUR more in other currencies", True)
    assert bar("EUR") == (
        -100,
        "0.20 USD more in other currencies; 1 attempts cost what is not known here",
        True,
    )
    assert bar("USD", Company(currency="USD", penalty_minor=15)) == (-75, None, True)


def test_the_merchants_own_country_is_the_one_that_prices(house: House, merchant: Merchant) -> None:
    """A German merchant pays the dearer price for a card of another region; so say the case's own ledger and the decision."""
    stories = [
        again("a", "43", (1, 3), currency="USD", customer__country="US", method__country="US"),
        again("b", "R1", (2,)),
    ]
    keep(house, merchant, stories)
    prices = [as_sums(told(house, merchant, country=c)) for c in (None, "DE")]
    key = ("2026-10", "visa", "VISA-CAT1", "USD")
    assert [p[key] for p in prices] == [(2, Decimal("0.20")), (2, Decimal("0.50"))]
    assert prices[1] == by_case(stories, country="DE")
    with writing(house.db) as tx:
        merchants.change(tx, merchant.id, country="DE")
        merchant = merchants.get(tx, merchant.id)
    found = of_merchant(house, merchant, frame(house, merchant))
    assert as_sums(found) == prices[1]
    assert any("a merchant in DE" in d for d in found.doubts)
    case = stories[0].case
    with reading(house.db) as tx:
        policy = house.policy(tx, merchant.id, case.policy)
        beside = around(house, tx, merchant, [case], [policy], NOW)[case.id]
        card = shown(house, tx, merchant, case, NOW, where="UTC")
    assert beside.country == "DE"
    paid = [v.fee.amount for v in card.verdicts if v.fee is not None]
    assert paid == [Decimal("0.25")] * 2


def test_fees_of_every_case_count_and_none_is_told_where_none_is_due(
    house: House, merchant: Merchant
) -> None:
    assert told(house, merchant) == FeeLedger(rows=(), figures=(), doubts=())
    keep(house, merchant, [
        again("first", "43", (1,), debt__kind="first", method__country="US"),
        story("out", "X", reason="43", retries=(1,), age=20, method__country="US"),
    ])  # fmt: skip
    assert [(r.rule, r.attempts) for r in told(house, merchant).rows] == [("VISA-CAT1", 2)]


def test_a_returned_debit_costs_what_the_policy_of_its_case_says(house: House, merchant: Merchant) -> None:
    rows: list[Fees] = []
    for m in with_prices(house):
        keep(
            house,
            m,
            [again("d", "AM04", (7,), method__kind="sepa_debit", method__network=None, policy=m.policy)],
        )
        rows += of_merchant(house, m, frame(house, m, at_most=timedelta(0))).rows
    assert [(r.network, r.attempts, r.amount, r.unpriced) for r in rows] == [
        ("sepa_debit", 2, 0, 2), ("sepa_debit", 2, Decimal("7.00"), 0), ("sepa_debit", 2, 0, 2),
    ]  # fmt: skip


def with_prices(house: House) -> list[Merchant]:
    """Merchants whose policies name no price of a returned debit, one price, and different ones."""
    head = 'name = "own"\n'
    parts = (
        "",
        "[value]\nreturned = 350\n",
        '[[segment]]\nmatch = { currency = "EUR" }\nvalue = { returned = 350 }\n',
    )
    return [standing_at_now(house, name=f"m{n}", policy=head + part) for n, part in enumerate(parts)]


def test_months_are_cut_on_the_clocks_of_the_reports(house: House, merchant: Merchant) -> None:
    late = datetime(2026, 9, 30, 23, tzinfo=UTC)  # October in Berlin
    keep(
        house,
        merchant,
        [again("z", "43", (1,), age=(NOW - late) / timedelta(days=1) + 1, method__country="US")],
    )
    zoned = frame(house, merchant, at_most=timedelta(0), zone="Europe/Berlin")
    assert [r.month for r in fee_ledger(zoned).rows] == ["2026-10"]
    assert [r.month for r in fee_ledger(frame(house, merchant, at_most=timedelta(0), zone="UTC")).rows] == [
        "2026-09"
    ]


def test_small_prices_keep_their_places() -> None:
    assert [cost(Decimal(x), "EUR") for x in ("0.4", "0.004", "12", "1234.5")] == [
        "0.40 EUR",
        "0.004 EUR",
        "12.00 EUR",
        "1,234.50 EUR",
    ]
