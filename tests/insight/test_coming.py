"""Coming renewals: predicted from what the billing stored, with the history that can be known, and what cannot is said."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from recoup.decide.renewal import predict
from recoup.decide.renewal_view import RenewalView, levels
from recoup.domain.view import Customer, Method, PayDays
from recoup.engine.house import House
from recoup.insight.coming import NO_FAILURE, NO_INTERVAL, Coming, ahead, coming
from recoup.insight.report import report
from recoup.store import customers, renewals
from recoup.store.customers import Stated
from recoup.store.engines import writing
from recoup.store.merchants import Merchant
from recoup.store.renewals import Renewal
from tests.insight.crafted import NOW, keep, standing_at_now, story
from tests.support.house import standing

CARD = Method(id="pm", network="visa", funding="debit", expires="2030-01")


def tell(house: House, merchant: Merchant, customer: str, **more: Any) -> None:
    """The billing tells a coming renewal of that customer."""
    values: dict[str, Any] = {
        "subscription_id": f"sub_{customer.removeprefix('cus_')}", "due_at": NOW + timedelta(days=10), "amount_minor": 4900,
        "currency": "EUR", "method": CARD,
    }  # fmt: skip
    with writing(house.db) as tx:
        customers.learn(tx, merchant.id, [{"id": customer, "timezone": "Europe/Berlin"}], NOW)
        renewals.learn(tx, merchant.id, customer, [Renewal(**{**values, **more})])


def by_customer(house: House, merchant: Merchant, **more: Any) -> dict[str, Coming]:
    return {c.customer_id: c for c in coming(house, merchant, **more)}


def months_ago(n: int) -> float:
    """The age of a failure on the day of the month on which the next renewal is due."""
    return n * 30.44 - 10


def test_what_nobody_told_is_not_taken_for_a_first_renewal(database_url: str) -> None:
    with standing(database_url) as house:
        merchant = standing_at_now(house)
        tell(house, merchant, "cus_new")
        tell(house, merchant, "cus_far", due_at=NOW + timedelta(days=31))
        tell(house, merchant, "cus_past", due_at=NOW - timedelta(days=1))
        found = by_customer(house, merchant)
        assert set(found) == {"cus_new"}
        new = found["cus_new"]
        assert (new.known, new.missing) == (0, (NO_FAILURE, "the customer's pay days"))
        assert "cycle" not in {r.term for r in new.prediction.because}
        first = RenewalView(renewal_id="r", customer=Customer(id="c", timezone="Europe/Berlin"), next_bill_at=new.due_at,
                            amount_minor=4900, currency="EUR", method=CARD)  # fmt: skip
        assert levels(first)["cycle"] == "first"
        assert predict(first).chance > new.prediction.chance


def test_months_between_failures_went_through(database_url: str) -> None:
    with standing(database_url) as house:
        merchant = standing_at_now(house)
        keep(house, merchant, [
            story("told", "R", age=400),  # failures are told here since then
            story("a", "R", age=months_ago(3), customer="cus_a", debt__subscription_id="sub_a", customer__tenure_days=61),
            story("later", "R", age=months_ago(1), customer="cus_a", debt__subscription_id="sub_a"),
            story("b", "R", age=months_ago(2), customer="cus_b", debt__subscription_id="sub_b"),
            story("c", "R", age=months_ago(2), customer="cus_c", debt__subscription_id="sub_c", debt__interval=None),
            story("other", "R", age=months_ago(2), customer="cus_d", debt__subscription_id="another"),
            story("once", "R", age=months_ago(2), customer="cus_e", debt__subscription_id="sub_e", debt__kind="first"),
        ])  # fmt: skip
        for name in "abcde":
            tell(house, merchant, f"cus_{name}")
        found = by_customer(house, merchant)
        assert {k: c.known for k, c in found.items()} == {
            "cus_a": 5,
            "cus_b": 2,
            "cus_c": 0,
            "cus_d": 0,
            "cus_e": 0,
        }
        assert found["cus_a"].missing == ("the customer's pay days",)
        assert any("earlier renewals before 2026-" in m for m in found["cus_b"].missing)
        assert NO_INTERVAL in found["cus_c"].missing
        assert NO_FAILURE in found["cus_d"].missing
        assert NO_FAILURE in found["cus_e"].missing
        record = next(r for r in found["cus_a"].prediction.because if r.term == "record")
        assert record.says == "2 of this customer's last 5 renewals failed at first"
        assert found["cus_a"].prediction.chance > found["cus_d"].prediction.chance


def test_the_interval_told_with_the_renewal_comes_first_and_a_gap_is_no_jump(sqlite_url: str) -> None:
    with standing(sqlite_url) as house:
        merchant = standing_at_now(house)
        story_of = story(
            "a",
            "R",
            age=81,
            amount=1000,
            customer="cus_a",
            debt__subscription_id="sub_a",
            debt__interval=None,
        )
        keep(house, merchant, [story_of])
        tell(house, merchant, "cus_a", interval="week")
        (found,) = coming(house, merchant)
        assert found.known == 13  # the failure, and the twelve weeks between it and the renewal
        assert "jump" not in {r.term for r in found.prediction.because}
        keep(
            house,
            merchant,
            [
                story(
                    "a",
                    "R",
                    age=0.0 + 21 - 10 - 4,
                    amount=1000,
                    customer="cus_a",
                    debt__subscription_id="sub_a",
                )
            ],
        )
        tell(house, merchant, "cus_a", interval="week", due_at=NOW)
        tell(house, merchant, "cus_a", interval="week", due_at=NOW + timedelta(hours=1))
        (found,) = coming(house, merchant)
        assert found.known == 1
        assert "jump" in {r.term for r in found.prediction.because}, (
            "the last one is known, and asked for less"
        )


def test_cards_pay_days_and_people_who_left(sqlite_url: str) -> None:
    with standing(sqlite_url) as house:
        merchant = standing_at_now(house)
        old = Method(id="pm", network="visa", funding="debit", expires="2026-10")
        tell(house, merchant, "cus_old", method=old)
        tell(house, merchant, "cus_covered", method=old, updater=True)
        tell(house, merchant, "cus_payer", method=Method(id="pm"))
        tell(house, merchant, "cus_left")
        with writing(house.db) as tx:
            days = PayDays(every="month", next=datetime(2026, 11, 10, tzinfo=UTC).date())
            customers.state(tx, merchant.id, "cus_payer", Stated(pay_days=days), NOW)
            customers.erase(tx, merchant.id, "cus_left", NOW)
        found = by_customer(house, merchant)
        assert set(found) == {"cus_old", "cus_covered", "cus_payer"}
        assert found["cus_old"].card_expires
        assert not found["cus_covered"].card_expires
        assert found["cus_old"].prediction.chance > found["cus_covered"].prediction.chance
        assert "expired" in found["cus_old"].prediction.because[0].says
        assert found["cus_payer"].missing == (NO_FAILURE, "when the card expires")
        assert any(r.term == "payday" for r in found["cus_payer"].prediction.because)


def test_the_forecast_and_the_report_count_them_by_currency_and_week(sqlite_url: str) -> None:
    with standing(sqlite_url) as house:
        merchant = standing_at_now(house)
        keep(house, merchant, [story("x", "O", age=5)])
        for n in range(6):
            tell(
                house,
                merchant,
                f"cus_{n}",
                due_at=NOW + timedelta(days=3 + 5 * n),
                currency="EUR" if n else "JPY",
            )
        found = list(coming(house, merchant))
        euros, yen = ahead(found, NOW)
        assert (euros.currency, euros.renewals, euros.amount_minor, euros.without_history) == (
            "EUR",
            5,
            5 * 4900,
            5,
        )
        assert [w.renewals for w in euros.weeks] == [0, 2, 1, 2, 0]
        assert euros.at_risk_minor == pytest.approx(sum(c.prediction.chance for c in found[1:]) * 4900, abs=1)
        assert sum(w.at_risk_minor for w in euros.weeks) == pytest.approx(euros.at_risk_minor, abs=3)
        assert yen.renewals == 1
        assert report(house, merchant).ahead == [euros, yen]
