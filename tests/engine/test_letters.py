"""What a letter may say of sums, days and methods: of the refusal it tells of, and never one that was not refused."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from recoup.channels.facts import MessageFacts
from recoup.channels.words import choose_words
from recoup.domain.case import Case, State
from recoup.domain.view import Attempt, Method, Result, Trigger
from recoup.engine import letters
from recoup.engine.house import House
from recoup.store import customers
from recoup.store.engines import reading
from tests.support import house as houses

OTHER_CARD: dict[str, Any] = {
    "id": "pm_other", "kind": "card", "network": "mastercard", "funding": "credit", "expires": "2029-01", "last4": "5555",
    "fingerprint": "f_other",
}  # fmt: skip
ASKING = ("soft_notice", "action_needed", "reminder", "final_notice", "trial_first_charge")


@pytest.fixture
def house(sqlite_url: str) -> Iterator[House]:
    with houses.standing(sqlite_url) as standing:
        yield standing


class Told:
    """One open case and the letters about it."""

    def __init__(self, house: House) -> None:
        self.house, self.merchant = house, houses.add_merchant(house)
        view = houses.view(1, customer__locale="en-GB", debt__description="Acme Pro")
        (self.case,) = houses.fail(house, self.merchant, view, lives=houses.NEVER_PAYS)

    def attempt(self, result: Result, *, days: int, **over: Any) -> Attempt:
        first = self.case.attempts[0]
        over = {"id": f"at_{days}", "at": first.at + timedelta(days=days), "result": result, **over}
        return msgspec.structs.replace(first, **over)

    def with_other_card(self, *attempts: Attempt, **over: Any) -> Case:
        methods = (*self.case.methods, msgspec.convert(OTHER_CARD, Method))
        tried = (*self.case.attempts, *attempts)
        return msgspec.structs.replace(self.case, methods=methods, attempts=tried, **over)

    def half_paid(self, **over: Any) -> Case:
        """Half of 49.00 was paid with the other card, three days after the refusal."""
        part = self.attempt(
            Result.PAID, days=3, method_id="pm_other", amount_minor=2450, trigger=Trigger.CUSTOMER
        )
        debt = msgspec.structs.replace(self.case.debt, amount_minor=2450, paid_minor=2450)
        return self.with_other_card(part, debt=debt, **over)

    def facts(self, case: Case) -> MessageFacts:
        with reading(self.house.db) as tx:
            contact = customers.contacts(tx, self.merchant.id, ["cus_1"])["cus_1"]
        return letters.facts_of(self.house, self.merchant, case, contact, houses.BEGIN + timedelta(days=5))


@pytest.fixture
def told(house: House) -> Told:
    return Told(house)


@pytest.mark.parametrize("step", ASKING)
def test_after_a_part_was_paid_every_sum_adds_up(told: Told, step: str) -> None:
    words = choose_words(step, told.facts(told.half_paid()))
    said = " ".join(words.paragraphs)
    assert "Of €49.00 for Acme Pro, €24.50 is paid already; €24.50 is still open." in said
    assert "tried to collect €24.50" not in said, "the half was never refused"
    assert "5555" not in said, "nor was the card it was paid with"
    assert ("Amount", "€24.50") in words.rows


def test_once_the_rest_was_refused_that_is_told(told: Told) -> None:
    half = told.half_paid()
    refused = told.attempt(Result.DECLINED, days=17, amount_minor=2450)
    case = msgspec.structs.replace(half, attempts=(*half.attempts, refused))
    (happened, *_) = choose_words("soft_notice", told.facts(case)).paragraphs
    assert happened.startswith("On Thursday, 19 March we tried to collect €24.50 for Acme Pro."), happened
    assert "4242" in happened


def test_the_receipt_of_a_debt_that_was_paid_in_parts_names_the_whole(told: Told) -> None:
    half = told.half_paid(state=State.RECOVERED, closed_at=houses.BEGIN + timedelta(days=20))
    rest = told.attempt(Result.PAID, days=17, amount_minor=2450, trigger=Trigger.RECOUP)
    case = msgspec.structs.replace(half, attempts=(*half.attempts, rest))
    words = choose_words("recovered", told.facts(case))
    assert words.paragraphs[0].startswith("We have received €49.00 for Acme Pro.")
    assert ("Payment method", "Visa ending 4242") in words.rows


def test_a_receipt_names_no_method_that_was_not_charged(told: Told) -> None:
    case = msgspec.structs.replace(
        told.case, state=State.RECOVERED, closed_at=houses.BEGIN + timedelta(days=2)
    )
    assert "Payment method" not in dict(choose_words("recovered", told.facts(case)).rows)


def test_the_day_the_method_and_the_cause_are_of_one_refusal(told: Told) -> None:
    later = told.attempt(
        Result.DECLINED, days=3, method_id="pm_other", code="authentication_required", network_code="1A"
    )
    (happened, *_) = choose_words("action_needed", told.facts(told.with_other_card(later))).paragraphs
    assert "On Thursday, 5 March" in happened
    assert "pays from your Mastercard ending 5555" in happened


def test_a_sum_that_changed_since_is_told_as_it_was_tried(told: Told) -> None:
    less = msgspec.structs.replace(told.case.debt, amount_minor=3000)
    words = choose_words("soft_notice", told.facts(msgspec.structs.replace(told.case, debt=less)))
    assert "tried to collect €49.00" in words.paragraphs[0]
    assert ("Amount", "€30.00") in words.rows


@pytest.mark.parametrize("step", ["soft_notice", "reminder"])
def test_the_method_that_will_be_tried_is_the_one_that_is_named(told: Told, step: str) -> None:
    case = told.with_other_card()
    assert case.plan is not None
    at = houses.BEGIN + timedelta(days=8)
    plan = msgspec.structs.replace(case.plan, move="charge", at=at, method_id="pm_other")
    said = choose_words(step, told.facts(msgspec.structs.replace(case, plan=plan))).paragraphs
    assert any("we will try your Mastercard ending 5555" in each for each in said), said
    assert not any("we will try your Visa" in each for each in said)
