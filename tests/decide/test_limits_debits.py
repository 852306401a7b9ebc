"""Bank debits: how often and how soon a returned one may be presented again, by scheme and rule id."""

from datetime import UTC, datetime, timedelta

import pytest

from recoup.decide.limits import used
from recoup.domain.policy import Timing
from recoup.domain.view import Attempt, Method, Result
from tests.decide.cards import AMOUNT, START, ask, counted, day, debit, refused, view

FUNDS = {
    "ach_debit": "R01",
    "sepa_debit": "AM04",
    "bacs_debit": "0",
    "becs_debit": "6",
    "pad_debit": "901",
}


def presented(kind: str, days: list[float], **more: object) -> list[Attempt]:
    return [refused(day(d), **{"network_code": FUNDS[kind], **more}) for d in days]


# --- Nacha ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["R01", "R09"])
def test_nacha_reinit(code: str) -> None:
    first = presented("ach_debit", [0], network_code=code)
    assert ask(view(first, debit("ach_debit")), day(3)).earliest == day(3)
    twice = presented("ach_debit", [0, 5], network_code=code)
    assert ask(view(twice, debit("ach_debit")), day(10)).earliest == day(10)
    thrice = presented("ach_debit", [0, 5, 10], network_code=code)
    verdict = ask(view(thrice, debit("ach_debit")), day(15))
    assert (verdict.earliest, verdict.rules) == (None, ("NACHA-REINIT",))
    assert verdict.says == ("2 of 2 Nacha reinitiations used (NACHA-REINIT)",)


def test_nacha_reinit_ends_after_180_days() -> None:
    seen = view(presented("ach_debit", [0]), debit("ach_debit"))
    assert ask(seen, day(180)).earliest == day(180)
    late = ask(seen, day(180) + timedelta(minutes=1))
    assert (late.earliest, late.rules) == (None, ("NACHA-REINIT",))


@pytest.mark.parametrize(
    ("code", "rule_id"),
    [
        ("R08", "NACHA-R08"),
        ("R05", "NACHA-R07-UNAUTH"),
        ("R07", "NACHA-R07-UNAUTH"),
        ("R10", "NACHA-R07-UNAUTH"),
        ("R29", "NACHA-R07-UNAUTH"),
        ("R51", "NACHA-R07-UNAUTH"),
        ("R11", "NACHA-R11"),
        ("R02", "NACHA-OTHER"),
        ("R03", "NACHA-OTHER"),
        ("R16", "NACHA-OTHER"),
        ("R20", "NACHA-OTHER"),
        ("R32", "NACHA-OTHER"),
    ],
)
def test_other_returns_are_not_reinitiated(code: str, rule_id: str) -> None:
    verdict = ask(view(presented("ach_debit", [0], network_code=code), debit("ach_debit")), day(20))
    assert verdict.earliest is None
    assert rule_id in verdict.rules


def test_a_new_authorisation_lifts_a_stop_and_a_revocation() -> None:
    for code in ("R08", "R07"):
        tries = presented("ach_debit", [0], network_code=code)
        renewed = debit("ach_debit", added_at=day(3))
        assert ask(view(tries, renewed, now=day(4))).earliest == day(4)
        assert ask(view(tries, debit("ach_debit")), day(4), on_session=True).earliest == day(4)


def test_a_failure_before_the_bank_was_asked_is_no_return() -> None:
    seen = view([refused(START, psp="stripe", code="payment_method_provider_timeout")], debit("ach_debit"))
    assert ask(seen, day(1)).earliest == day(1)
    seen = view([refused(START, psp="stripe", code="insufficient_funds")], debit("ach_debit"))
    assert ask(seen, day(1)).earliest == day(1)


def test_an_ach_failure_that_came_at_once_stays_on_the_ach_cap() -> None:
    """The cap follows the rail, not the moment of failure (ACH-EARLY-FAIL)."""
    tries = [refused(START + timedelta(minutes=i), network_code="R01") for i in range(3)]
    assert ask(view(tries, debit("ach_debit")), day(1)).rules == ("NACHA-REINIT",)


def test_nacha_counts_one_entry() -> None:
    seen = view(presented("ach_debit", [0]), debit("ach_debit"))
    others = [counted(day(-i), network_code="R01") for i in range(1, 6)]
    assert ask(seen, day(1), others=others).earliest == day(1)


# --- SEPA -------------------------------------------------------------------------------------------------------


def test_sepa_represent() -> None:
    assert ask(view(presented("sepa_debit", [0, 5]), debit("sepa_debit")), day(10)).rules == ()
    verdict = ask(view(presented("sepa_debit", [0, 5, 10]), debit("sepa_debit")), day(200))
    assert (verdict.earliest, verdict.rules) == (None, ("SEPA-REPRESENT",))
    assert verdict.says == ("2 of 2 SEPA re-presentations used (SEPA-REPRESENT)",)


def test_sepa_prenotify_where_it_is_agreed() -> None:
    seen = view(presented("sepa_debit", [0]), debit("sepa_debit"), now=day(1))
    assert ask(seen).earliest == day(1)
    agreed = Timing(sepa_notice=timedelta(days=2))
    verdict = ask(seen, terms=agreed)
    assert (verdict.earliest, verdict.rules) == (day(3), ("SEPA-PRENOTIFY",))
    assert ask(seen, terms=agreed, announced=True).earliest == day(1)


# --- Bacs -------------------------------------------------------------------------------------------------------


def test_bacs_represent() -> None:
    seen = view(presented("bacs_debit", [0, 7]), debit("bacs_debit"))
    assert ask(seen, day(15)).earliest == day(15)
    assert ask(seen, day(30)).earliest == day(30)
    assert used(seen, seen.methods[0], day(14)) == (
        "1 of 2 Bacs re-presentations used in 30 days (BACS-REPRESENT)",
    )


def test_bacs_represent_notice() -> None:
    """The payer is told a new date five working days ahead: from Monday 3 August 2026 that is Tuesday the 11th."""
    seen = view(presented("bacs_debit", [0]), debit("bacs_debit"), now=START)
    verdict = ask(seen, day(2))
    assert verdict.earliest == datetime(2026, 8, 10, 23, 0, tzinfo=UTC)  # midnight in London
    assert verdict.rules == ("BACS-REPRESENT-NOTICE",)
    assert ask(seen, day(2), announced=True).earliest == day(2)
    late = view(presented("bacs_debit", [0]), debit("bacs_debit"), now=day(26))
    assert ask(late, day(27)).rules == ("BACS-AFTER-MONTH",)  # the notice would end after the month


def test_bacs_after_month() -> None:
    """From Monday 3 August 2026 ten working days end on 18 August: the bank holiday is on the 31st."""
    thrice = view(presented("bacs_debit", [0, 1, 2]), debit("bacs_debit"), now=START)
    verdict = ask(thrice, day(3))
    assert verdict.earliest == datetime(2026, 8, 17, 23, 0, tzinfo=UTC)  # midnight in London
    assert verdict.rules == ("BACS-AFTER-MONTH",)
    late = view(presented("bacs_debit", [0]), debit("bacs_debit"), now=day(18))  # 21 August
    verdict = ask(late, day(31))
    assert verdict.earliest == datetime(2026, 9, 7, 23, 0, tzinfo=UTC)  # one day later for the bank holiday
    assert ask(late, day(29)).earliest == day(29)  # noticed on the 21st for the 1st of September
    assert ask(late, day(31), announced=True).earliest == day(31)


def test_bacs_presents_the_same_amount_again_or_collects_anew() -> None:
    seen = view(presented("bacs_debit", [0]), debit("bacs_debit"), now=day(1))
    assert ask(seen, day(10), amount_minor=AMOUNT).rules == ()
    assert ask(seen, day(10), amount_minor=AMOUNT - 1).rules == ("BACS-AFTER-MONTH",)


def test_a_new_bacs_collection_may_be_presented_again() -> None:
    tries = presented("bacs_debit", [0, 1, 2, 20])
    assert ask(view(tries, debit("bacs_debit")), day(29)).earliest == day(29)


# --- Australia, Canada, GoCardless ----------------------------------------------------------------------------------


def test_becs_retry() -> None:
    four = presented("becs_debit", [0, 1, 2, 3])
    verdict = ask(view(four, debit("becs_debit")), day(4))
    assert (verdict.earliest, verdict.rules) == (day(29), ("BECS-RETRY",))
    assert ask(view(four[:3], debit("becs_debit")), day(4)).rules == ()


def test_pad_represent() -> None:
    twice = presented("pad_debit", [0, 10])
    verdict = ask(view(twice, debit("pad_debit")), day(15))
    assert (verdict.earliest, verdict.rules) == (day(40), ("PAD-REPRESENT",))
    assert ask(view(twice[:1], debit("pad_debit")), day(15)).rules == ()


@pytest.mark.parametrize("kind", ["bacs_debit", "sepa_debit", "becs_debit"])
def test_gc_success_plus(kind: str) -> None:
    tries = presented(kind, [0, 1, 2, 3], psp="gocardless")
    assert "GC-SUCCESS-PLUS" in ask(view(tries, debit(kind)), day(4)).rules + used_rules(tries, kind)
    assert "GC-SUCCESS-PLUS" not in used_rules(presented(kind, [0, 1, 2, 3]), kind)


def used_rules(tries: list[Attempt], kind: str) -> tuple[str, ...]:
    seen = view(tries, debit(kind))
    return tuple(line.rsplit("(", 1)[1].rstrip(")") for line in used(seen, seen.methods[0], day(4)))


def test_gc_success_plus_on_bacs_waits_four_weeks() -> None:
    tries = presented("bacs_debit", [0, 1, 2, 20], psp="gocardless")
    verdict = ask(view(tries, debit("bacs_debit")), day(21))
    assert (verdict.earliest, verdict.rules) == (day(29), ("GC-SUCCESS-PLUS",))


# --- Common to all rails -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("ach_debit", "R15"),
        ("sepa_debit", "MD07"),
        ("bacs_debit", "2"),
        ("becs_debit", "4"),
        ("pad_debit", "910"),
    ],
)
def test_nothing_is_taken_from_the_dead(kind: str, code: str) -> None:
    seen = view([refused(START, network_code=code)], debit(kind))
    assert ask(seen, day(30)).earliest is None
    assert ask(seen, day(30), on_session=True).earliest is None


@pytest.mark.parametrize("kind", list(FUNDS))
def test_a_new_account_is_a_new_start(kind: str) -> None:
    tries = presented(kind, [0, 1, 2, 3])
    other = Method(id="pm_2", kind=kind, fingerprint="f_2", added_at=day(4))  # type: ignore[arg-type]
    assert ask(view(tries, debit(kind), other, now=day(5)), method=other).earliest == day(5)


@pytest.mark.parametrize("kind", list(FUNDS))
def test_a_try_without_an_answer_counts(kind: str) -> None:
    tries = presented(kind, [0, 1])
    without = (2,) if kind == "bacs_debit" else (2, 3)
    open_ended = [*tries, *(refused(day(d), code=None, result=Result.PENDING) for d in without)]
    asked = day(10)
    assert kind == "pad_debit" or ask(view(tries, debit(kind)), asked).earliest == asked
    assert ask(view(open_ended, debit(kind)), asked).earliest != asked


def test_a_mandate_that_was_cancelled_needs_a_new_one() -> None:
    tries = [refused(START, network_code="MD01")]
    assert ask(view(tries, debit("sepa_debit")), day(9)).rules == ("ADVICE-NEW-DETAILS",)
    renewed = debit("sepa_debit", added_at=day(5))
    assert ask(view(tries, renewed, now=day(9))).earliest == day(9)
