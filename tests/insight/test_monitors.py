"""Rules on a whole merchant: each with books just below, near and over its limit, and without what it would need."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from recoup.decide.rulebook import rulebook
from recoup.domain import facts as f
from recoup.domain.view import Method
from recoup.engine.house import House
from recoup.insight import alerts, staff_mail
from recoup.insight.fresh import frame
from recoup.insight.monitors import Monitor, alerts_of, monitors, of_merchant
from recoup.store import alerts as stored
from recoup.store import renewals
from recoup.store.engines import reading, writing
from recoup.store.merchants import Merchant
from recoup.store.renewals import Renewal
from tests.insight.crafted import NOW, Story, clean, keep, standing_at_now, story
from tests.support.house import standing

RATES = {"NACHA-RATE-UNAUTH": "R10", "NACHA-RATE-ADMIN": "R03", "NACHA-RATE-OVERALL": "R01"}


@pytest.fixture
def house(sqlite_url: str) -> Iterator[House]:
    with standing(sqlite_url) as made:
        yield made


@pytest.fixture
def merchant(house: House) -> Merchant:
    return standing_at_now(house)


def measured(house: House, merchant: Merchant, flow: Mapping[str, int] | None = None) -> dict[str, Monitor]:
    """By rule; of a rule in two windows the later one."""
    return {m.rule: m for m in monitors(frame(house, merchant, at_most=timedelta(0)), flow or {})}


def returned(n: int, code: str, *, age: float = 20, **more: Any) -> list[Story]:
    """So many debits that came back once."""
    return [
        story(f"{code}{k}", "O", age=age, reason=code, retries=(), method__kind="ach_debit", method__network=None, **more)
        for k in range(n)
    ]  # fmt: skip


def disputed(n: int, at: datetime, **more: Any) -> list[Story]:
    """So many Visa cases whose payment is disputed."""
    fact = f.Disputed(at=at, actor="provider:generic")
    return [story(f"d{k}", "R", age=40, told=(fact,), **more) for k in range(n)]


def test_every_rule_that_watches_a_merchant_is_measured(house: House, merchant: Merchant) -> None:
    found = monitors(frame(house, merchant, at_most=timedelta(0)), {})
    assert {m.rule for m in found} == {r.id for r in rulebook().values() if r.role == "watches"}
    assert {m.status for m in found} == {"none"}
    assert all(m.because and m.source_url.startswith("https://") and m.window for m in found)


@pytest.mark.parametrize(
    ("rule_id", "of", "returns", "status"),
    [
        ("NACHA-RATE-UNAUTH", 1000, 3, "pass"), ("NACHA-RATE-UNAUTH", 1000, 8, "near"), ("NACHA-RATE-UNAUTH", 1000, 10, "over"),
        ("NACHA-RATE-ADMIN", 500, 23, "pass"), ("NACHA-RATE-ADMIN", 500, 24, "near"), ("NACHA-RATE-ADMIN", 500, 30, "over"),
        ("NACHA-RATE-OVERALL", 100, 23, "pass"), ("NACHA-RATE-OVERALL", 100, 24, "near"), ("NACHA-RATE-OVERALL", 100, 30, "over"),
    ],
)  # fmt: skip
def test_nachas_rates(
    house: House, merchant: Merchant, rule_id: str, of: int, returns: int, status: str
) -> None:
    """`of` debits in 30 days, twice as many in the window of 60."""
    old = returned(40, "R02", age=61)  # before the window
    keep(house, merchant, [*returned(returns, RATES[rule_id]), *old])
    found = measured(house, merchant, {"ach_debit": of})[rule_id]
    assert (found.status, found.numerator, found.denominator) == (status, returns, 2 * of)
    assert found.until - found.since == timedelta(days=60)
    assert "estimate" in found.because


def test_a_retry_is_a_debit_of_its_own_and_a_dispute_after_payment_an_unauthorised_return(
    house: House, merchant: Merchant
) -> None:
    fact = f.Disputed(at=NOW - timedelta(days=3), actor="provider:generic")
    paid = story(
        "p",
        "R",
        age=30,
        method__kind="ach_debit",
        method__network=None,
        reason="R01",
        retries=(),
        told=(fact,),
    )
    keep(house, merchant, [*returned(2, "R10"), paid])
    found = measured(house, merchant, {"ach_debit": 100})
    assert [found[r].numerator for r in RATES] == [3, 0, 4]
    assert found["NACHA-RATE-UNAUTH"].denominator == 201


def test_without_the_volume_only_what_is_sure_is_said(house: House, merchant: Merchant) -> None:
    keep(house, merchant, returned(30, "R01"))
    found = measured(house, merchant)
    assert found["NACHA-RATE-OVERALL"].status == "unseen"
    assert "coming renewals" in found["NACHA-RATE-OVERALL"].because
    assert found["NACHA-RATE-OVERALL"].value is None
    assert found["NACHA-RATE-UNAUTH"].status == "pass", "none came back so, whatever the volume"


@pytest.mark.parametrize(
    ("on", "disputes", "sales", "status", "threshold"),
    [
        (datetime(2026, 10, 20, tzinfo=UTC), 1501, 100_000, "over", 0.015),
        (datetime(2026, 10, 20, tzinfo=UTC), 1500, 100_000, "near", 0.015),
        (datetime(2026, 10, 20, tzinfo=UTC), 1501, 125_000, "near", 0.015),
        (datetime(2026, 10, 20, tzinfo=UTC), 1501, 126_000, "unseen", 0.015),
        (datetime(2026, 10, 20, tzinfo=UTC), 5, 100, "unseen", 0.015),
        (datetime(2026, 10, 20, tzinfo=UTC), 1501, 0, "unseen", 0.015),
    ],
)  # fmt: skip
def test_visas_share_of_disputes(
    house: House, merchant: Merchant, on: datetime, disputes: int, sales: int, status: str, threshold: float
) -> None:
    """One case with many disputes told of it: what counts are disputes."""
    fact = f.Disputed(at=on, actor="provider:generic")
    before = f.Disputed(at=datetime(2026, 9, 30, 23, 59, tzinfo=UTC), actor="provider:generic")
    keep(
        house,
        merchant,
        [
            story("d", "R", age=60, told=(before, *[fact] * disputes)),
            *disputed(3, on, method__network="mastercard"),
        ],
    )
    flow = {"visa": sales} if sales else {}
    first, second = [
        m for m in monitors(frame(house, merchant, at_most=timedelta(0)), flow) if m.rule == "VISA-VAMP"
    ]
    assert (first.window, second.window) == ("2026-10", "2026-11 so far")
    assert (first.status, first.numerator, first.threshold, first.above) == (
        status,
        disputes,
        threshold,
        1500,
    )
    assert second.numerator == 0
    assert second.status == "unseen", "reports of fraud are never seen, so that it is never passed"
    assert "fraud" in second.because


def test_visas_share_was_another_before(house: House, merchant: Merchant) -> None:
    was = rulebook()["VISA-VAMP"]
    assert (
        was.count_in("", datetime(2026, 3, 31, tzinfo=UTC).date()),
        was.count_in("", datetime(2026, 4, 1, tzinfo=UTC).date()),
    ) == (220, 150)


@pytest.mark.parametrize(("many", "status"), [(19_999, "pass"), (20_000, "near"), (25_000, "over")])
def test_visas_volume_of_data_quality_declines(
    house: House, merchant: Merchant, many: int, status: str
) -> None:
    tries = [k / 10_000 for k in range(1, many)]
    keep(house, merchant, [story(1, "O", age=5, reason="54", retries=tries)])
    volume = measured(house, merchant)["VISA-CAT3-VOLUME"]
    assert (volume.status, volume.threshold, volume.numerator) == (status, 25_000, many)


def test_which_declines_are_of_data_quality(house: House, merchant: Merchant) -> None:
    de: dict[str, Any] = {"method__country": "DE"}
    us: dict[str, Any] = {"method__country": "US", "customer__country": "US"}
    keep(house, merchant, [
        story("a", "O", age=5, reason="54", retries=(), **us), story("b", "O", age=5, reason="1A", retries=(), **de),
        story("c", "O", age=5, reason="1A", retries=(), **us), story("d", "O", age=5, reason="51", retries=(), **us),
        story("e", "O", age=31, reason="54", retries=(), **us), story("f", "O", age=5, reason="54", retries=(), method__network="mastercard"),
        story("g", "X", age=5, reason="N7", retries=(1,), debt__kind="first", **us),
    ])  # fmt: skip
    found = measured(house, merchant)["VISA-CAT3-VOLUME"]
    assert (found.numerator, found.status) == (4, "pass")
    assert "not told here" in found.because


def test_the_volume_comes_from_the_renewals_that_are_stored(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECOUP_INSIGHT_DIR", str(tmp_path))
    with standing(database_url) as house:
        merchant = standing_at_now(house)
        keep(house, merchant, returned(7, "R10"))
        with writing(house.db) as tx:
            for n in range(60):
                due = NOW + timedelta(days=1 + n)  # half of them within 30 days
                method = (
                    Method(id=f"ba_{n}", kind="ach_debit") if n % 2 else Method(id=f"pm_{n}", network="Visa")
                )
                told = Renewal(
                    subscription_id=f"sub_{n}", due_at=due, amount_minor=100, currency="USD", method=method
                )
                renewals.learn(tx, merchant.id, f"cus_R10{n % 7}", [told])
        with reading(house.db) as tx:
            assert renewals.flow(tx, merchant.id, NOW, NOW + timedelta(days=30)) == [
                ("ach_debit", None, 15),
                ("card", "Visa", 15),
            ]
        found = {
            m.rule: m for m in of_merchant(house.db, merchant, frame(house, merchant, at_most=timedelta(0)))
        }
        assert found["NACHA-RATE-UNAUTH"].denominator == 30
        assert found["VISA-VAMP"].denominator == 15


def test_near_and_over_are_alerts_that_can_be_silenced(house: House, merchant: Merchant) -> None:
    keep(house, merchant, [*clean(60), *returned(25, "R01")])
    flow = {"ach_debit": 100}
    with writing(house.db) as tx:
        for n in range(100):
            told = Renewal(subscription_id=f"s{n}", due_at=NOW + timedelta(days=9), amount_minor=1, currency="USD",
                           method=Method(id="ba", kind="ach_debit"))  # fmt: skip
            renewals.learn(tx, merchant.id, "cus_R010", [told])
    staff_mail.look_after(house, merchant)
    with writing(house.db) as tx:
        near = json.loads(stored.standing(tx, merchant.id)["rule_near:NACHA-RATE-OVERALL"].body)
        assert "25 of about 200 (12.50 %), 15.00 % allowed" in near["says"]
        assert not near.get("page")
        assert stored.silence(
            tx, merchant.id, "rule_near:NACHA-RATE-OVERALL", until=NOW + timedelta(days=7), by="staff:anna"
        )
    keep(house, merchant, returned(31, "R01"))
    house.clock.forward(timedelta(hours=1))  # type: ignore[attr-defined]
    staff_mail.look_after(house, merchant)
    with reading(house.db) as tx:
        kept = stored.standing(tx, merchant.id)
    assert kept["rule_near:NACHA-RATE-OVERALL"].cleared_at is not None
    over = kept["rule_over:NACHA-RATE-OVERALL"]
    assert over.cleared_at is None
    assert json.loads(over.body)["page"]
    assert not alerts.quiet(over, NOW), "silence about near does not hide that it is over"
    assert measured(house, merchant, flow)["NACHA-RATE-OVERALL"].status == "over"


def test_a_handful_is_told_and_raises_no_alert(house: House, merchant: Merchant) -> None:
    keep(house, merchant, returned(2, "R10"))
    found = monitors(frame(house, merchant, at_most=timedelta(0)), {"ach_debit": 50})
    assert {m.rule: m.status for m in found}["NACHA-RATE-UNAUTH"] == "over"
    assert alerts_of(found) == []
