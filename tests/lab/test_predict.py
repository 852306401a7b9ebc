"""Learning which renewals fail: weights that are there are found, chances fit customers that were held back."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from math import isclose

import pytest

from recoup.decide.renewal import odds, predict, prior_renewals
from recoup.decide.renewal_view import RenewalView
from recoup.domain.view import Attempt, Customer, Method, PastDebt, Result, Trigger
from recoup.lab.predict import LearnedRenewals, chances, fit, judge, learn_renewals, see

BEGIN = datetime(2025, 1, 1, 6, tzinfo=UTC)
MONTHS = 6


def company(seed: int, customers: int) -> Iterator[RenewalView]:
    """Renewals of customers who differ: prepaid cards and the plan `cheap` fail more, and some people always do."""
    dice = random.Random(seed)
    for n in range(customers):
        funding, plan = dice.choice(("credit", "prepaid")), dice.choice(("cheap", "dear"))
        own = dice.gauss(0, 1.2)
        history: list[PastDebt] = []
        for month in range(MONTHS):
            due = BEGIN + timedelta(days=30 * month + n % 28)
            failed = dice.random() < odds(-2.5 + 1.0 * (funding == "prepaid") + 0.8 * (plan == "cheap") + own)
            yield RenewalView(
                renewal_id=f"r{n}/{month}", customer=Customer(id=f"c{n}", plan=plan), next_bill_at=due, amount_minor=900,
                currency="EUR", method=Method(id="pm", funding=funding), interval="month", history=tuple(history), failed=failed,
            )  # fmt: skip
            result = Result.DECLINED if failed else Result.PAID
            tried = Attempt(id=f"a{month}", at=due, trigger=Trigger.RENEWAL, amount_minor=900, result=result)
            history.append(PastDebt(due_at=due, amount_minor=900, attempts=(tried,)))


@cache
def learned() -> LearnedRenewals:
    return learn_renewals(company(1, 700), prior_renewals())


def test_the_learned_model_beats_the_start_on_customers_held_back() -> None:
    done = learned()
    assert done.judged is not None
    assert done.before is not None
    assert done.judged.log_loss < done.before.log_loss
    assert done.judged.brier < done.before.brier
    assert done.judged.auc is not None
    assert done.judged.auc > 0.7
    assert done.model.name.startswith("renewals_")
    assert done.model.learned_from == {"renewals": 4200, "failures": done.failures}


def test_weights_that_are_there_are_found() -> None:
    """Somewhat less than in the world, where people differ too: their own record takes a part of it."""
    terms = learned().model.terms
    assert 0.6 < terms["method"]["card|prepaid"] - terms["method"]["card|credit"] < 1.3
    assert 0.25 < terms["plan"]["cheap"] - terms["plan"]["dear"] < 1.1
    days = [abs(w) for w in terms["monthday"].values()]
    assert max(days, default=0.0) < 0.25, "days of the month mean nothing there, and are held together"


def test_chances_hold_on_other_customers() -> None:
    others = [see(v) for v in company(2, 400)]
    found = judge(learned().model, others)
    assert sum(d.renewals for d in found.deciles) == 2400
    for d in found.deciles:
        assert d.failed == pytest.approx(d.expected, abs=0.09)


def test_the_fit_gives_the_chances_that_the_decider_gives() -> None:
    views = list(company(3, 20))
    for view, given in zip(views, chances(learned().model, [see(v) for v in views]), strict=True):
        assert predict(view, learned().model).chance == pytest.approx(given, abs=1e-4)


def test_what_was_not_met_keeps_the_shipped_weights() -> None:
    start, now = prior_renewals().terms, learned().model.terms
    assert now["expiry"] == start["expiry"]
    assert any("when cards expire" in line for line in learned().not_learned)


def test_too_few_failures_change_nothing() -> None:
    few = learn_renewals(company(4, 15), prior_renewals())
    assert few.model.terms == prior_renewals().terms
    assert "are needed" in few.not_learned[0]


def test_nothing_to_learn_from_is_refused() -> None:
    with pytest.raises(ValueError, match="`failed`"):
        learn_renewals([], prior_renewals())


def test_the_measures_in_closed_form() -> None:
    seen = [see(v) for v in company(5, 60)]
    model = prior_renewals()
    found = judge(model, seen)
    given = chances(model, seen)
    failed, paid = ([p for p, s in zip(given, seen, strict=True) if s.failed is y] for y in (True, False))
    pairs = [(a > b) + 0.5 * (a == b) for a in failed for b in paid]
    assert found.auc is not None
    assert isclose(found.auc, sum(pairs) / len(pairs), abs_tol=1e-3)
    brier = sum((p - s.failed) ** 2 for p, s in zip(given, seen, strict=True)) / len(seen)
    assert isclose(found.brier, brier, abs_tol=1e-4)


def test_a_fit_starts_where_it_is_told_to() -> None:
    """Fitted twice, the second time from the first result, the weights hardly move."""
    seen = [see(v) for v in company(6, 150)]
    once = fit(seen, prior_renewals())
    again = fit(seen, once)
    assert judge(again, seen).log_loss == pytest.approx(judge(once, seen).log_loss, abs=0.02)
