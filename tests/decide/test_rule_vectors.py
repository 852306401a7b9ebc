"""One table with a vector for every rule: what happened, when somebody asks, and what the rule answers."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest

from recoup.data import rows
from recoup.decide.decision import decide
from recoup.decide.limits import Counted
from recoup.decide.rulebook import rulebook
from recoup.domain.decline import masked, understand
from recoup.domain.policy import Policy, Timing
from recoup.domain.view import Attempt, CaseView, Method, Result, Trigger
from tests.decide.cards import AMOUNT, START, ask, card, counted, day, debit, paid, refused, view

ALLOWED, NEVER = "allowed", "never"
HOUR = timedelta(hours=1)
IDS = [r["rule_id"] for r in rows("network_rules")]


class Vector(NamedTuple):
    """`expect`: `allowed`, `never`, or the instant before which it may not be. The rule is named where it stops."""

    rule: str
    what: str
    method: Method
    attempts: Sequence[Attempt]
    at: datetime
    expect: str | datetime
    others: Sequence[Counted] = ()
    amount: int = AMOUNT
    currency: str = "EUR"
    kind: str = "renewal"
    terms: Timing = Timing()
    now: datetime | None = None
    on_session: bool = False

    def verdict(self) -> tuple[datetime | None, tuple[str, ...]]:
        seen = self.seen()
        found = ask(
            seen, self.at, amount_minor=self.amount, currency=self.currency, others=self.others, terms=self.terms,
            on_session=self.on_session,
        )  # fmt: skip
        return found.earliest, found.rules

    def seen(self) -> CaseView:
        return view(self.attempts, self.method, now=self.now or self.at, kind=self.kind)


VISA, MASTERCARD = card("visa"), card("mastercard")
SOON = timedelta(minutes=1)


def codes(
    raw: str, count: int = 1, *, every: float = 1.0, start: datetime = START, **more: object
) -> list[Attempt]:
    """`count` refusals with the issuer's code `raw`, one every so many days."""
    return [refused(start + timedelta(days=every * i), network_code=raw, **more) for i in range(count)]


def stripe(code: str) -> list[Attempt]:
    return [refused(START, psp="stripe", code=code)]


def mac(advice: str, raw: str = "82", start: datetime = START) -> list[Attempt]:
    return codes(raw, advice_code=advice, start=start)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def both(rule: str, what: str, method: Method, stopped: Sequence[Attempt], at: datetime, expect: str | datetime,
         free: Sequence[Attempt], **more: object) -> list[Vector]:  # fmt: skip
    """The story that the rule stops, and the neighbour that it lets through."""
    return [
        Vector(rule, what, method, stopped, at, expect, **more),  # type: ignore[arg-type]
        Vector(rule, f"not: {what}", method, free, at, ALLOWED, **more),  # type: ignore[arg-type]
    ]


def visa() -> list[Vector]:
    found = both("VISA-CAT1", "stolen", VISA, codes("43"), day(300), NEVER, codes("51"))
    old = utc("2021-04-16T09:00")
    found += [
        Vector("VISA-CAT1", "the payer is there", VISA, codes("14"), day(9), NEVER, on_session=True),
        Vector("VISA-CAT1", "a stolen card of another case", VISA, codes("51"), day(9), NEVER,
               others=[counted(day(-900), network_code="43")]),
        Vector("VISA-CAT1", "a new card", Method(id="pm_1", network="visa", fingerprint="f_9"), [], day(9), ALLOWED,
               others=[counted(day(1), network_code="43")]),
        Vector("VISA-VSPS", "stopped by the cardholder", VISA, codes("R1"), day(30), NEVER),
        Vector("VISA-VSPS", "approved since", VISA, [*codes("R0"), paid(day(2)), *codes("51", start=day(3))], day(30), ALLOWED),
    ]  # fmt: skip
    for rule, raw in (("VISA-CAT2", "51"), ("VISA-CAT3-REATTEMPT", "N7"), ("VISA-CAT4", "05")):
        by_payer = rule == "VISA-CAT3-REATTEMPT"
        sixteen = codes(raw, 16)
        if by_payer:  # wrong data is cured by the payer, whose tries count as well
            sixteen = [*sixteen[:-1], refused(day(15), network_code=raw, trigger=Trigger.CUSTOMER)]
        found += both(rule, "fifteen reattempts in 30 days", VISA, sixteen, day(16), day(31),
                      [*sixteen[:14], *sixteen[15:]], on_session=by_payer)  # fmt: skip
        found.append(Vector(rule, "thirty days later", VISA, sixteen, day(31), ALLOWED, on_session=by_payer))
    twenty = codes("51", 21)
    wide = Timing(visa_attempts=20)
    found += [
        Vector("VISA-CAT2", "twenty where the acquirer allows it", VISA, twenty, day(21), day(31), terms=wide),
        Vector("VISA-CAT2", "and no fewer", VISA, twenty[:20], day(20), ALLOWED, terms=wide),
        Vector("VISA-CAT2", "but not before May 2025", VISA, codes("51", 16, start=utc("2025-04-01T09:00")),
               utc("2025-04-20T09:00"), utc("2025-05-02T09:00"), terms=wide),
        Vector("VISA-CAT2", "a narrower count of the merchant", VISA, codes("51", 4), day(4), day(31),
               terms=Timing(visa_attempts=3)),
        Vector("VISA-CAT2", "any amount, any debt", VISA, codes("51", 8, amount_minor=100), day(16), day(18),
               others=[counted(day(-13 + i), network_code="51") for i in range(8)]),
        Vector("STRIPE-VISA-BLOCK", "fifteen through Stripe", VISA, codes("51", 16, psp="stripe"), day(16), day(31),
               terms=wide),
        Vector("STRIPE-VISA-BLOCK", "through another", VISA, codes("51", 16, psp="adyen"), day(16), ALLOWED, terms=wide),
        Vector("STRIPE-VISA-BLOCK", "before April 2021", VISA, codes("51", 3, psp="stripe", start=old), old + timedelta(days=3),
               ALLOWED),
    ]  # fmt: skip
    mixed = [refused(day(i), network_code="51", trigger=list(Trigger)[i % 7]) for i in range(16)]
    found += both(
        "VISA-COUNTERS", "payers' and our own tries in one count", VISA, mixed, day(16), day(31), mixed[1:]
    )
    return found


def mastercard() -> list[Vector]:
    fast = [refused(START + 2 * i * HOUR, network_code="51") for i in range(10)]
    brazil = card("mastercard", country="BR")
    long_ago = utc("2021-12-01T09:00")
    found = both("MC-TPE-24H", "ten declines in a day", MASTERCARD, fast, START + 20 * HOUR, day(1), fast[1:])
    found += both("MC-TPE-24H", "seven in Brazil", brazil, fast[:7], START + 20 * HOUR, day(1), fast[:6])
    found += [
        Vector("MC-TPE-24H", "twenty before 2022", MASTERCARD,
               [refused(long_ago + i * HOUR, network_code="51") for i in range(19)], long_ago + 20 * HOUR, ALLOWED),
        Vector("MC-TPE-24H", "ten in Brazil before 2023", brazil,
               [refused(utc("2023-01-02T00:00") + i * HOUR, network_code="51") for i in range(9)], utc("2023-01-02T12:00"), ALLOWED),
    ]  # fmt: skip
    month = codes("51", 35, every=0.75)
    before = codes("51", 35, every=0.75, start=utc("2023-09-01T09:00"))
    found += both("MC-TPE-30D", "35 declines in 30 days", MASTERCARD, month, day(28), day(30), month[1:])
    found.append(
        Vector(
            "MC-TPE-30D",
            "before November 2023",
            MASTERCARD,
            before,
            before[0].at + 28 * timedelta(days=1),
            ALLOWED,
        )
    )
    return found


def mastercards_advice() -> list[Vector]:
    found = both("MC-TPE-MAC", "advice 03", MASTERCARD, mac("03"), day(400), NEVER, mac("24", "51"))
    early = utc("2021-06-01T09:00")
    found += [
        Vector(
            "MC-TPE-MAC",
            "advice 21, the payer is there",
            MASTERCARD,
            mac("21"),
            day(1),
            NEVER,
            on_session=True,
        ),
        Vector("MC-TPE-MAC", "on another network", VISA, mac("03", "51"), day(1), ALLOWED),
    ]
    for advice in ("03", "21", "42"):
        found += both(f"MC-MAC-{advice}", "not again", MASTERCARD, mac(advice), day(90), NEVER, mac("43"))
    for advice in ("01", "04", "22", "40", "41"):
        renewed = card("mastercard", added_at=day(1))
        found += [
            Vector(f"MC-MAC-{advice}", "only with new details", MASTERCARD, mac(advice), day(2), NEVER),
            Vector(f"MC-MAC-{advice}", "new details came", renewed, mac(advice), day(2), ALLOWED),
        ]
    waits = {"24": 1, "25": 24, "26": 48, "27": 96, "28": 144, "29": 192, "30": 240, "02": 72}
    for advice, hours in waits.items():
        then = START + hours * HOUR
        told = mac(advice, "51")
        found += [
            Vector(f"MC-MAC-{advice}", "too soon", MASTERCARD, told, START + SOON, then),
            Vector(f"MC-MAC-{advice}", "in time", MASTERCARD, told, then, ALLOWED),
        ]
    found += [
        Vector("MC-MAC-26", "before October 2022", MASTERCARD, mac("26", "51", early), early + HOUR, ALLOWED),
        Vector(
            "MC-MAC-02", "before November 2021", MASTERCARD, mac("02", "51", early), early + HOUR, ALLOWED
        ),
    ]
    return found


def other_cards() -> list[Vector]:
    elo, amex, discover, nobody = card("elo"), card("amex"), card("discover"), card(None)
    found = both("ELO-RETRY", "fifteen in 30 days", elo, codes("51", 16), day(16), day(31), codes("51", 15))
    found.append(Vector("ELO-RETRY", "an irreversible code", elo, codes("14"), day(40), NEVER))
    for rule, method, raw in (
        ("AMEX-RETRY", amex, "116"), ("DISCOVER-RETRY", discover, "51"), ("DEFAULT-UNKNOWN-NETWORK", nobody, "51"),
    ):  # fmt: skip
        found += both(rule, "eight in 30 days", method, codes(raw, 9), day(9), day(31), codes(raw, 8))
    for rule, code, expect in (
        ("STRIPE-SMART-NONRETRY", "incorrect_number", NEVER), ("STRIPE-SMART-NONRETRY", "lost_card", NEVER),
        ("STRIPE-RATE-LOCK", "card_decline_rate_limit_exceeded", day(1)),
    ):  # fmt: skip
        found += both(rule, code, amex, stripe(code), START + HOUR, expect, stripe("insufficient_funds"))
    found += both("ADYEN-ERPS", "blocked by Adyen", VISA, [refused(START, psp="adyen", code="46")], day(9), NEVER,
                  [refused(START, psp="adyen", code="12")])  # fmt: skip
    found += both(
        "SCA-SOFT-DECLINE", "the issuer wants the payer", VISA, codes("1A"), day(9), NEVER, codes("51")
    )
    found.append(
        Vector("SCA-SOFT-DECLINE", "the payer is there", VISA, codes("1A"), day(9), ALLOWED, on_session=True)
    )
    return found


def american_debits() -> list[Vector]:
    ach = debit("ach_debit")
    found = both(
        "NACHA-REINIT",
        "two reinitiations",
        ach,
        codes("R01", 3, every=5),
        day(15),
        NEVER,
        codes("R01", 2, every=5),
    )
    found.append(Vector("NACHA-REINIT", "after 180 days", ach, codes("R09"), day(181), NEVER))
    found += both("ACH-EARLY-FAIL", "failed at once, three times", ach, codes("R01", 3, every=0.01), day(1), NEVER,
                  codes("R01", 2, every=0.01))  # fmt: skip
    again = debit("ach_debit", added_at=day(3))
    for rule, raw in (("NACHA-R08", "R08"), ("NACHA-R07-UNAUTH", "R07"), ("NACHA-R07-UNAUTH", "R29"), ("NACHA-OTHER", "R03"),
                      ("NACHA-R11", "R11")):  # fmt: skip
        found += [
            Vector(rule, f"{raw} unchanged", ach, codes(raw), day(9), NEVER),
            Vector(rule, f"{raw}, authorised anew", again, codes(raw), day(9), ALLOWED),
        ]
    back = [
        *codes("R11"),
        refused(day(2), trigger=Trigger.CUSTOMER, code=None, result=Result.DECLINED, network_code="R11"),
    ]
    found += [
        Vector("NACHA-R11", "corrected once already", ach, back, day(3), NEVER, on_session=True),
        Vector("NACHA-R11", "corrected after 60 days", ach, codes("R11"), day(61), NEVER, on_session=True),
        Vector("NACHA-R11", "corrected in time", ach, codes("R11"), day(59), ALLOWED, on_session=True),
    ]
    loan: dict[str, Any] = {"kind": "covered_loan", "currency": "USD"}
    us = debit("ach_debit", country="US")
    elsewhere = [counted(day(-3), network_code="R01")]
    found += [
        Vector("CFPB-PAYDAY-TWO-STRIKES", "two in a row", us, codes("R01"), day(9), NEVER, others=elsewhere, **loan),
        Vector("CFPB-PAYDAY-TWO-STRIKES", "one", us, codes("R01"), day(9), ALLOWED, **loan),
        Vector("CFPB-PAYDAY-TWO-STRIKES", "no loan", us, codes("R01"), day(9), ALLOWED, others=elsewhere),
        Vector("CFPB-PAYDAY-TWO-STRIKES", "before March 2025", us, codes("R01", 2, start=utc("2025-01-01T00:00")),
               utc("2025-01-09T00:00"), ALLOWED, **loan),
        Vector("REGE-VARYING-AMOUNT", "another amount", us, codes("R01"), day(2), day(11), amount=AMOUNT - 900, now=day(1)),
        Vector("REGE-VARYING-AMOUNT", "the same amount", us, codes("R01"), day(2), ALLOWED, now=day(1)),
        Vector("REGE-VARYING-AMOUNT", "a debit card", card("visa", country="US", funding="debit"), codes("51"), day(2), day(11),
               amount=AMOUNT - 900, now=day(1)),
        Vector("REGE-VARYING-AMOUNT", "a credit card", card("visa", country="US", funding="credit"), codes("51"), day(2), ALLOWED,
               amount=AMOUNT - 900, now=day(1)),
    ]  # fmt: skip
    return found


def other_debits() -> list[Vector]:
    sepa, bacs, becs, pad = debit("sepa_debit"), debit("bacs_debit"), debit("becs_debit"), debit("pad_debit")
    noticed = Timing(sepa_notice=timedelta(days=14))
    three = codes("AM04", 3, every=5)
    found: list[Vector] = []
    for rule in ("SEPA-REPRESENT", "ADYEN-SEPA-RESCUE"):
        found += both(rule, "two re-presentations", sepa, three, day(99), NEVER, three[:2])
    found += [
        Vector("SEPA-PRENOTIFY", "fourteen days by the mandate", sepa, three[:1], day(2), day(15), now=day(1), terms=noticed),
        Vector("SEPA-PRENOTIFY", "the provider gives notice", sepa, three[:1], day(2), ALLOWED, now=day(1)),
        Vector("SEPA-MANDATE-36M", "not used for three years", sepa, three[:1], day(1096), NEVER),
        Vector("SEPA-MANDATE-36M", "used since", sepa, three[:1], day(1095), ALLOWED),
        Vector("SEPA-MANDATE-36M", "a newer mandate", debit("sepa_debit", added_at=day(400)), three[:1], day(1100), ALLOWED),
    ]  # fmt: skip
    midnight = utc("2026-08-10T23:00")
    new = utc("2026-08-17T23:00")
    found += [
        Vector("BACS-REPRESENT-NOTICE", "five working days", bacs, codes("0"), day(1), midnight, now=START),
        Vector("BACS-REPRESENT-NOTICE", "later than that", bacs, codes("0"), midnight, ALLOWED, now=START),
        Vector("BACS-REPRESENT", "twice already", bacs, codes("0", 3, every=0.01), midnight, new, now=START + HOUR),
        Vector("BACS-REPRESENT", "once so far", bacs, codes("0", 2, every=0.01), midnight, ALLOWED, now=START + HOUR),
        Vector("BACS-AFTER-MONTH", "ten working days", bacs, codes("0", 3, every=0.01), day(9), new, now=START + HOUR),
        Vector("BACS-AFTER-MONTH", "noticed in time", bacs, codes("0"), day(40), ALLOWED, now=day(20)),
    ]  # fmt: skip
    acquired = [refused(START, psp="acquired", network_code=c) for c in ("8", "0")]
    found += both(
        "BACS-ACQUIRED-REASON0", "another reason", bacs, acquired[:1], day(40), NEVER, acquired[1:], now=START
    )
    found += both("BECS-RETRY", "three in four weeks", becs, codes("6", 4), day(4), day(29), codes("6", 3))
    found += both("PAD-REPRESENT", "one in 30 days", pad, codes("901", 2), day(4), day(31), codes("901"))
    found += [
        Vector("PAD-NOTICE", "another amount", pad, codes("901"), day(2), day(11), amount=AMOUNT + 1, now=day(1)),
        Vector("PAD-NOTICE", "the same amount", pad, codes("901"), day(2), ALLOWED, now=day(1)),
        Vector("PAD-NOTICE", "before 2024", pad, codes("901", start=utc("2023-10-01T00:00")), utc("2023-10-09T00:00"), ALLOWED,
               amount=AMOUNT + 1),
    ]  # fmt: skip
    four = codes("6", 4, psp="gocardless")
    found += both("GC-SUCCESS-PLUS", "three in four weeks", becs, four, day(4), day(29), four[:3])
    return found


def india() -> list[Vector]:
    upi, indian = debit("upi"), card("visa", country="IN")
    rupees: dict[str, Any] = {"currency": "INR"}
    then = day(2)
    found = both(
        "NACH-RETRY",
        "one try and three more",
        upi,
        codes("04", 4),
        day(90),
        NEVER,
        codes("04", 3),
        now=day(60),
    )
    for method, raw in ((upi, "04"), (indian, "51")):
        found += [
            Vector("RBI-PRE-NOTICE", "a day ahead", method, codes(raw), day(1.5), then, now=day(1)),
            Vector("RBI-PRE-NOTICE", "noticed in time", method, codes(raw), then, ALLOWED, now=day(1)),
            Vector("RBI-PRE-NOTICE", "the payer is there", method, codes(raw), day(1), ALLOWED, on_session=True),
            Vector("RBI-AFA-LIMIT", "more than 15,000", method, codes(raw), then, NEVER, amount=1500001, now=day(1), **rupees),
            Vector("RBI-AFA-LIMIT", "15,000", method, codes(raw), then, ALLOWED, amount=1500000, now=day(1), **rupees),
            Vector("RBI-AFA-LIMIT", "insurance", method, codes(raw), then, ALLOWED, amount=9000000, kind="insurance",
                   now=day(1), **rupees),
        ]  # fmt: skip
    return found


VECTORS = [
    *visa(),
    *mastercard(),
    *mastercards_advice(),
    *other_cards(),
    *american_debits(),
    *other_debits(),
    *india(),
]
# Where the rule that stops goes by another name than the row that asks for it.
SPOKEN_BY = {
    "VISA-COUNTERS": "VISA-CAT2", "AMEX-RETRY": "DEFAULT-UNKNOWN-NETWORK", "DISCOVER-RETRY": "DEFAULT-UNKNOWN-NETWORK",
    "ACH-EARLY-FAIL": "NACHA-REINIT", "ADYEN-SEPA-RESCUE": "SEPA-REPRESENT", "BACS-REPRESENT": "BACS-AFTER-MONTH",
}  # fmt: skip
ELSEWHERE = {"RBI-STRIPE-26H"}
"""Binds by a move of its own; see below."""


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: f"{v.rule}: {v.what}")
def test_a_rule_answers_its_vector(vector: Vector) -> None:
    earliest, named = vector.verdict()
    if vector.expect == ALLOWED:
        assert earliest == vector.at, named
        return
    assert earliest == (None if vector.expect == NEVER else vector.expect)
    assert SPOKEN_BY.get(vector.rule, vector.rule) in named


def test_every_rule_has_a_vector_or_says_why_not() -> None:
    stops = {v.rule for v in VECTORS if v.expect != ALLOWED}
    lets_through = {v.rule for v in VECTORS if v.expect == ALLOWED}
    binding = {i for i, r in rulebook().items() if r.role == "binds"} - ELSEWHERE
    assert stops == lets_through == binding
    assert [i for i, r in rulebook().items() if r.role != "binds" and not r.why.endswith(".")] == []
    assert {i for i, r in rulebook().items() if r.role == "reads"} == set(READINGS)
    assert list(rulebook()) == IDS


def test_an_attempt_without_an_answer_is_asked_about() -> None:
    """RBI-STRIPE-26H: a charge that Stripe holds back for a day is in flight, and nothing else is charged."""
    waiting = refused(START, code=None, psp="stripe", result=Result.PENDING)
    seen = view([waiting], card("visa", country="IN"), now=START + 25 * HOUR)
    for policy in (Policy(name="p"), Policy(name="p", timing=Timing(attempts=60))):
        assert decide(seen, policy, policy_ref="p@1", now=seen.now).move == "reconcile"


READINGS: dict[str, list[tuple[str, str, str | None, datetime, str]]] = {
    "VISA-RECLASS-2021": [("visa", "62", None, utc("2021-04-16T00:00"), "never"),
                          ("visa", "62", None, utc("2021-04-17T00:00"), "retry_after_customer_action")],
    "VISA-RECLASS-2024": [("visa", "39", None, START, "retry_later"), ("visa", "14", None, START, "never")],
    "VISA-RECLASS-2026": [("visa", "83", None, START, "retry_after_customer_action")],
    "MC-MAC-43": [("mastercard", "51", "43", START, "retry_later")],
    "MC-DE39-CONSOLIDATION": [("mastercard", "79", None, START, "retry_with_updated_credentials"),
                              ("mastercard", "82", "03", START, "never"), ("mastercard", "82", "02", START, "retry_later")],
    "MASK-REASON": [],
}  # fmt: skip
READ = [(rule, *reading) for rule, readings in READINGS.items() for reading in readings]


@pytest.mark.parametrize(("rule", "network", "raw", "advice", "on", "allows"), READ)
def test_a_rule_that_reads_codes(
    rule: str, network: str, raw: str, advice: str | None, on: datetime, allows: str
) -> None:
    attempt = refused(on, network_code=raw, advice_code=advice)
    assert understand(attempt, card(network), on=on.date()).advice == allows, rule


def test_what_is_never_told_to_a_payer() -> None:
    """MASK-REASON."""
    for raw in ("41", "43", "59", "63"):
        found = understand(refused(START, network_code=raw), VISA)
        assert masked(found.category) == "generic_soft" != found.category
