"""Balance exports: both of Stripe's shapes and a plain one, read to the minor unit; three books held against each other."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from recoup.domain import facts as f
from recoup.engine.house import House
from recoup.insight.fresh import frame
from recoup.insight.ledger import BadLedger, Entry, read, reconcile
from recoup.store.merchants import Merchant
from tests.insight.crafted import NOW, keep, standing_at_now, story
from tests.support.house import standing

ITEMISED = """balance_transaction_id,created_utc,created,available_on_utc,available_on,currency,gross,fee,net,reporting_category,source_id,description,charge_id,payment_intent_id,invoice_id,automatic_payout_id,payment_metadata[attempt_id]
txn_1,2026-09-08 09:00:00,2026-09-08 11:00:00,2026-09-10 00:00:00,2026-09-10 02:00:00,eur,49.00,1.72,47.28,charge,ch_1,Subscription,ch_1,pi_1,in_1,po_1,a_1_paid
txn_2,2026-09-09 09:00:00,2026-09-09 11:00:00,2026-09-11 00:00:00,2026-09-11 02:00:00,jpy,980,40,940,charge,ch_2,Subscription,ch_2,pi_2,in_2,po_2,
txn_3,2026-09-20 09:00:00,2026-09-20 11:00:00,2026-09-20 00:00:00,2026-09-20 02:00:00,eur,-49.00,0.00,-49.00,refund,re_1,Refund,ch_1,pi_1,in_1,po_1,a_1_paid
txn_4,2026-09-21 00:00:00,2026-09-21 02:00:00,2026-09-21 00:00:00,2026-09-21 02:00:00,eur,"-1,000.50",0.00,"-1,000.50",payout,po_1,STRIPE PAYOUT,,,,po_1,
"""
DASHBOARD = """id,Type,Source,Amount,Fee,Net,Currency,Created (UTC),Available On (UTC),Description,Transfer
txn_1,charge,ch_1,49.00,1.72,47.28,eur,2026-09-08 09:00,2026-09-10 00:00,Subscription,po_1
"""
PLAIN = """id,kind,at,amount,currency,debt_id
p1,payment,2026-09-08T09:00:00Z,49.00,EUR,in_1
"""


@pytest.fixture
def house(sqlite_url: str) -> Iterator[House]:
    with standing(sqlite_url) as made:
        yield made


@pytest.fixture
def merchant(house: House) -> Merchant:
    return standing_at_now(house)


def written(tmp_path: Path, text: str) -> list[Entry]:
    path = tmp_path / "export.csv"
    path.write_text(text, encoding="utf-8")
    return read(path)


def test_the_itemised_report(tmp_path: Path) -> None:
    charge, yen, refund, payout = written(tmp_path, ITEMISED)
    assert (charge.kind, charge.amount_minor, charge.fee_minor, charge.net_minor, charge.currency) == (
        "payment",
        4900,
        172,
        4728,
        "EUR",
    )
    assert {"ch_1", "pi_1", "in_1", "a_1_paid"} <= set(charge.names)
    assert (yen.amount_minor, yen.fee_minor) == (980, 40)
    assert (refund.kind, refund.amount_minor) == ("refund", -4900)
    assert (payout.kind, payout.amount_minor, payout.payout) == ("payout", -100_050, "po_1")
    assert charge.at.isoformat() == "2026-09-08T09:00:00+00:00"


def test_the_dashboards_list_and_a_plain_file(tmp_path: Path) -> None:
    (one,) = written(tmp_path, DASHBOARD)
    assert (one.amount_minor, one.fee_minor, one.payout, "ch_1" in one.names) == (4900, 172, "po_1", True)
    (two,) = written(tmp_path, PLAIN)
    assert (two.amount_minor, two.fee_minor, two.names) == (4900, None, ("in_1", "p1"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a,b\n1,2\n", "no column for id, kind, at, amount, currency"),
        (PLAIN.replace("49.00", "49.001"), "line 2: 49.001 has more decimals than EUR has"),
        (PLAIN.replace("49.00", "many"), "line 2"),
        (PLAIN.replace("EUR", "euro"), "ISO 4217"),
        (PLAIN.replace("2026-09-08T09:00:00Z", "yesterday"), "line 2"),
        (PLAIN.replace("49.00", ""), "it has no amount"),
    ],
)
def test_a_wrong_file_is_refused_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(BadLedger, match=says):
        written(tmp_path, text)


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadLedger, match="UTF-8"):
        read(tmp_path / "x.csv")


def test_books_that_agree(house: House, merchant: Merchant, tmp_path: Path) -> None:
    gone = f.Refunded(at=NOW - timedelta(days=43), actor="provider:generic", amount_minor=4900)
    keep(
        house,
        merchant,
        [story(1, "R", age=60, told=(gone,)), story(2, "R", age=59, currency="JPY", amount=980)],
    )
    lines = [e for e in written(tmp_path, ITEMISED) if e.kind != "payout"]
    found = reconcile(frame(house, merchant, at_most=timedelta(0)), lines)
    assert found.differences == ()
    assert (found.matched, found.payments, found.without_fee) == (2, 2, 0)
    assert found.fees_minor == {"EUR": 172, "JPY": 40}
    days = {(d.currency, d.ours_minor, d.theirs_minor) for d in found.days}
    assert days == {("EUR", 4900, 4900), ("JPY", 980, 980)}


def test_what_does_not_agree_is_named(house: House, merchant: Merchant, tmp_path: Path) -> None:
    keep(house, merchant, [story(1, "R", age=60), story("gone", "R", age=58), story(9, "O", age=30)])
    extra = "txn_9,2026-10-10 09:00:00,,,,eur,49.00,1.72,47.28,charge,ch_9,,ch_9,pi_9,in_9,,\n"
    twice = "txn_8,2026-09-10 09:00:00,,,,eur,49.00,1.72,47.28,charge,ch_8,,ch_8,pi_8,in_1,,\n"
    found = reconcile(
        frame(house, merchant, at_most=timedelta(0)), written(tmp_path, ITEMISED + extra + twice)
    )
    kinds = {d.what for d in found.differences}
    assert kinds == {
        "missing there",
        "open here, paid there",
        "paid twice",
        "refund unknown here",
        "payout does not add up",
    }
    (missing,) = found.of("missing there")
    assert (missing.row, missing.minor, missing.currency) == ("case c_gone", 4900, "EUR")
    (out,) = found.of("payout does not add up")
    assert out.minor == 100_050 - (4728 - 4900)


def test_lines_of_debts_that_never_failed_are_left_alone(
    house: House, merchant: Merchant, tmp_path: Path
) -> None:
    keep(house, merchant, [story("far", "R", age=200)])
    found = reconcile(frame(house, merchant, at_most=timedelta(0)), written(tmp_path, PLAIN))
    assert (found.matched, found.differences) == (0, ())
