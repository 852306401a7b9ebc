"""What attempts cost under the rules: by rule, by place, by day; zero and said so where nobody knows the price."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from recoup.data import rows
from recoup.decide.fees import RETURNED, Entry, Fee, cost_of, ledger, totals
from recoup.decide.rulebook import rulebook
from recoup.domain.view import Attempt, Method, Result, Trigger
from tests.decide.cards import START, card, counted, day, debit, paid, refused, view

PRICES = rows("network_fees")
RULES = {r["rule_id"]: r for r in rows("network_rules")}


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def series(
    raw: str, count: int, *, every: float = 1.0, start: datetime = START, **more: Any
) -> list[Attempt]:
    return [refused(start + timedelta(days=every * i), network_code=raw, **more) for i in range(count)]


def entries(attempts: list[Attempt], method: Method, **more: Any) -> tuple[Entry, ...]:
    return ledger(view(attempts, method), **more)


def lines(attempts: list[Attempt], method: Method, **more: Any) -> list[tuple[str, str, str]]:
    return [
        (x.rule, f"{x.amount:f}", x.currency) for e in entries(attempts, method, **more) for x in e.fee.lines
    ]


@pytest.mark.parametrize(
    ("home", "card_of", "on", "wanted"),
    [
        ("US", "US", "2026-01-05T00:00", ("0.10", "USD")),
        ("US", "CA", "2026-01-05T00:00", ("0.15", "USD")),
        ("US", "CA", "2026-05-05T00:00", ("0.25", "USD")),
        ("DE", "US", "2026-05-05T00:00", ("0.25", "USD")),
        ("DE", "FR", "2026-05-05T00:00", ("0", "EUR")),
        ("BR", "BR", "2026-01-05T00:00", ("0.10", "USD")),
        ("BR", "US", "2026-01-05T00:00", ("0.25", "USD")),
        ("DE", "US", "2026-01-05T00:00", ("0", "EUR")),
    ],
)
def test_visas_price_of_a_try_after_never(home: str, card_of: str, on: str, wanted: tuple[str, str]) -> None:
    tries = series("43", 2, start=utc(on))
    found = lines(tries, card("visa", country=card_of), merchant_country=home)
    assert found == [("VISA-CAT1", *wanted)]


def test_a_stop_order_costs_more_and_instead() -> None:
    assert lines(series("R1", 3), card("visa", country="DE")) == [("VISA-VSPS", "1.00", "EUR")] * 2
    assert lines(series("R1", 2), card("visa", country="US")) == [("VISA-VSPS", "1.00", "USD")]
    before = series("R1", 2, start=utc("2023-02-01T00:00"))
    assert lines(before, card("visa", country="US")) == [("VISA-CAT1", "0.10", "USD")]


def test_visa_charges_beyond_its_own_count_and_an_approval_begins_anew() -> None:
    us = card("visa", country="US")
    assert lines(series("51", 21), us) == []  # the first try and twenty reattempts
    assert lines(series("51", 23), us) == [("VISA-CAT2", "0.10", "USD")] * 2
    assert lines(series("51", 17, start=utc("2024-01-01T00:00")), us) == [("VISA-CAT2", "0.10", "USD")]
    again = [*series("57", 1), paid(day(1)), *series("51", 2, start=day(2))]
    assert lines(again, us) == [("VISA-CAT1", "0.10", "USD")]  # the one that was approved, none after it


def test_others_tries_count_and_are_not_billed_here() -> None:
    others = [counted(day(-10 + i / 4), network_code="51") for i in range(20)]
    assert lines(series("51", 2), card("visa", country="US"), others=others) == [("VISA-CAT2", "0.10", "USD")]


@pytest.mark.parametrize(
    ("country", "on", "wanted"),
    [
        ("US", "2023-12-30", ("0.15", "USD")),
        ("US", "2024-12-30", ("0.30", "USD")),
        ("US", "2025-01-02", ("0.50", "USD")),
        ("CA", "2024-04-02", ("0.50", "USD")),
        ("CA", "2024-03-02", ("0", "EUR")),
        ("BR", "2023-02-02", ("2.00", "BRL")),
    ],
)
def test_mastercards_day(country: str, on: str, wanted: tuple[str, str]) -> None:
    most = 7 if country == "BR" else 10
    tries = series("51", most + 1, every=0.05, start=utc(f"{on}T00:00"))
    assert lines(tries, card("mastercard", country=country)) == [("MC-TPE-24H", *wanted)]


@pytest.mark.parametrize("result", [Result.PENDING, Result.UNKNOWN])
def test_mastercard_bills_declines_and_an_answer_that_is_not_in_is_none_yet(result: Result) -> None:
    """The rule's words: "declined authorisations", "any decline code". What nobody has answered may have been approved."""
    us = card("mastercard", country="US")
    tries = series("51", 11, every=0.05, start=utc("2025-01-02T00:00"))
    assert lines(tries, us) == [("MC-TPE-24H", "0.50", "USD")]
    for nth in (4, 10):
        silent = msgspec.structs.replace(tries[nth], result=result, network_code=None)
        assert lines([*tries[:nth], silent, *tries[nth + 1 :]], us) == []
    answered = series("51", 12, every=0.05, start=utc("2025-01-02T00:00"))
    silent = msgspec.structs.replace(answered[4], result=result, network_code=None)
    assert len(lines([*answered[:4], silent, *answered[5:]], us)) == 1
    against = [
        refused(START, network_code="05", advice_code="03"),
        msgspec.structs.replace(tries[0], at=day(1), result=result),
    ]
    assert lines(against, us) == []
    ahead = cost_of(view([*tries[:4], silent, *tries[5:10]], us), us, tries[10].at)
    assert ahead.lines == ()  # it would be the tenth decline


def test_mastercards_month_counts_one_amount_and_bills_nothing_twice() -> None:
    de = card("mastercard", country="DE")
    assert lines(series("05", 36, every=0.8), de) == [("MC-TPE-30D", "0.55", "EUR")]
    mixed = [refused(day(0.8 * i), network_code="05", amount_minor=100 + i % 2) for i in range(36)]
    assert lines(mixed, de) == []
    fast = series("05", 36, every=0.01)
    assert {r for r, _, _ in lines(fast, de)} == {"MC-TPE-24H"}


def test_the_first_elo_try_after_an_approval_is_no_retry() -> None:
    elo = card("elo", country="BR")
    many = series("51", 18, every=0.5)
    billed = [e.at for e in entries(many, elo)]
    assert billed == [day(8.0), day(8.5)]
    later = [*many, paid(day(8.9)), *series("51", 2, start=day(9))]
    assert [e.at for e in entries(later, elo)] == [*billed, day(8.9), day(10)]


def test_tries_against_advice_and_the_price_of_the_hint() -> None:
    us, de, au = (card("mastercard", country=c) for c in ("US", "DE", "AU"))
    against = [refused(START, network_code="82", advice_code="03"), refused(day(3), network_code="82")]
    assert lines(against, us) == [("MC-TPE-MAC", "0.03", "USD")]
    assert lines([against[0], refused(day(31), network_code="82")], us) == []
    hinted = [refused(START, network_code="51", advice_code="26")]
    assert lines(hinted, us) == [("MC-AUTH-OPTIMIZER", "0.02", "USD")]
    assert lines(hinted, de) == [("MC-AUTH-OPTIMIZER", "0.004", "EUR")]
    assert lines([refused(START, network_code="82", advice_code="02")], us) == []
    (share,) = entries(hinted, au)
    assert (share.fee.amount, share.fee.known) == (Decimal(0), False)  # a share of euros is not dollars
    dollars = ledger(view(hinted, au, currency="USD"))
    assert dollars[0].fee.amount == Decimal("0.0147")  # three hundredths of a percent of 49.00


def test_elo() -> None:
    assert lines(series("51", 17), card("elo", country="BR")) == [("ELO-RETRY", "0.80", "BRL")]


@pytest.mark.parametrize("kind", ["ach_debit", "sepa_debit", "bacs_debit", "becs_debit", "pad_debit", "upi"])
def test_a_returned_debit_costs_what_the_policy_says_and_else_says_that_it_is_not_known(kind: str) -> None:
    tries = series("R01", 2)
    assert [(e.fee.amount, e.fee.known) for e in entries(tries, debit(kind))] == [(Decimal(0), False)] * 2
    assert lines(tries, debit(kind), returned=350) == [(RETURNED, "3.50", "EUR")] * 2
    assert entries([paid(START)], debit(kind), returned=350) == ()


def test_what_a_further_attempt_would_cost() -> None:
    us = card("visa", country="US")
    free = cost_of(view(series("51", 3), us), us, day(4))
    assert free == Fee(amount=Decimal(0), currency="EUR")
    assert (free.known, free.minor_in("EUR"), free.minor_in("USD")) == (True, 0.0, 0.0)
    dear = cost_of(view(series("51", 21), us), us, day(21))
    assert (dear.minor_in("USD"), dear.minor_in("EUR")) == (10.0, None)
    assert dear.lines[0].says == "reattempt 21 where Visa allows 20 in 30 days"
    assert cost_of(view(series("51", 21), us), us, day(60)).lines == ()
    elsewhere = [counted(day(-1), network_code="43")]
    assert cost_of(view(series("51", 1), us), us, day(4), others=elsewhere).lines[0].rule == "VISA-CAT1"
    sepa = debit("sepa_debit")
    assert not cost_of(view(series("AM04", 1), sepa), sepa, day(4)).known


def test_one_attempt_is_billed_once_whatever_methods_name_its_card() -> None:
    token = Method(id="pm_2", network="visa", fingerprint="f_1", country="US")
    seen = view(
        [refused(day(i), network_code="43", method_id=None) for i in range(3)],
        card("visa", country="US"),
        token,
    )
    found = ledger(seen)
    assert len(found) == 2
    assert totals(found) == {"USD": Decimal("0.20")}
    assert [e.at for e in found] == [day(1), day(2)]


def test_whoever_tries_pays() -> None:
    tries = [
        refused(day(i), network_code="43", trigger=t)
        for i, t in enumerate((Trigger.RENEWAL, Trigger.NATIVE, Trigger.CUSTOMER, Trigger.STAFF))
    ]
    assert len(entries(tries, card("visa", country="US"))) == 3


def test_every_price_is_of_a_rule_has_a_source_and_is_told_in_its_row() -> None:
    for row in PRICES:
        assert row["source_url"].startswith("http")
        assert row["amount"] or row["share_bp"]
        for rule_id in row["rule_ids"].split():
            assert rule_id in rulebook()
            figure = f"{Decimal(row['amount'] or row['share_bp']).normalize():f}"
            told = " ".join(RULES[i]["fee_per_excess_by_region"] for i in (rule_id, "MC-TPE-30D"))
            assert figure in told, (rule_id, figure)


def test_every_rule_that_names_a_price_is_priced_or_known_to_be_unpriced() -> None:
    names_one = {
        i for i, r in RULES.items() if any(c in r["fee_per_excess_by_region"] for c in ("USD", "EUR", "BRL"))
    }
    priced = {i for row in PRICES for i in row["rule_ids"].split()}
    elsewhere = {"VISA-SIF-INTERREGIONAL"}  # the same prices, in the rows of the categories
    not_of_an_attempt = {
        "VISA-VAMP",
        "NACHA-RATE-UNAUTH",
        "TCPA-QUIET-HOURS",
        "MC-CNP-DECLINE-2026",
    }
    assert names_one - priced - elsewhere == not_of_an_attempt


def test_prices_of_one_rule_and_place_follow_one_another() -> None:
    spans: dict[tuple[str, str, str], list[tuple[str, str]]] = {}
    for row in PRICES:
        for rule_id in row["rule_ids"].split():
            for place in row["where"].split():
                span = (row["from_date"], row["to_date"] or "9999-12-31")
                spans.setdefault((rule_id, place, row["border"]), []).append(span)
    for key, found in spans.items():
        for (_, until), (since, _) in pairwise(sorted(found)):
            assert date.fromisoformat(since) - date.fromisoformat(until) == timedelta(days=1), key


@pytest.mark.parametrize("result", [Result.PENDING, Result.UNKNOWN])
def test_a_debit_that_is_on_its_way_has_not_come_back(result: Result) -> None:
    waiting = msgspec.structs.replace(paid(START), result=result)
    assert entries([waiting], debit("sepa_debit"), returned=350) == ()
