"""`recoup import`: how often a plan is billed stands in no export of Stripe's; it is read off the spacing of the charges."""

import json
from datetime import timedelta
from pathlib import Path

import msgspec
import sqlalchemy as sa

from recoup.domain.case import Case
from recoup.domain.view import CaseView
from recoup.engine import receive
from recoup.engine.clock import SystemClock
from recoup.settings import Settings
from recoup.store.cases import by_debts
from recoup.store.engines import reading
from recoup.store.merchants import get
from recoup.store.tables import cases
from recoup.wiring import assemble
from tests.cli.commands import SECRET, Desk
from tests.cli.payments_export import Export
from tests.support.house import view_json

NOW = SystemClock().now().replace(microsecond=0)
HEAD = "debt_id,customer_id,at,amount,currency,result,code,subscription_id,interval\n"


def cases_of(desk: Desk) -> dict[str, Case]:
    house = assemble(Settings(database_url=desk.env["RECOUP_DATABASE_URL"], secret_key=SECRET))
    try:
        with reading(house.db) as tx:
            debts = list(tx.execute(sa.select(cases.c.debt_id)).scalars())
            return by_debts(tx, get(tx, "acme").id, debts)
    finally:
        house.db.dispose()


def tell(desk: Desk, interval: str) -> None:
    """The billing system tells of the debt of `in_2` itself."""
    house = assemble(Settings(database_url=desk.env["RECOUP_DATABASE_URL"], secret_key=SECRET))
    try:
        view = view_json(2, at=NOW, debt__interval=interval, customer__id="cus_1")
        with reading(house.db) as tx:
            merchant = get(tx, "acme")
        receive.failures(house, merchant, [msgspec.convert(view, CaseView)], actor="provider:generic")
    finally:
        house.db.dispose()


def plain(path: Path, *lines: tuple[str, float, str, str]) -> None:
    """(debt, days ago, result, interval) of one customer."""
    rows = [
        f"{debt},cus_1,{NOW - timedelta(days=ago):%Y-%m-%d %H:%M:%S},49.00,EUR,{result},"
        f"{'insufficient_funds' if result == 'declined' else ''},sub_1,{interval}\n"
        for debt, ago, result, interval in lines
    ]
    path.write_text(HEAD + "".join(rows))


def test_after_a_year_of_payments_the_list_of_what_to_do_first_speaks(small_desk: Desk) -> None:
    """Four thousand lines, monthly, yearly, weekly and other plans, retries and prorations: nothing else is told."""
    small_desk.merchant()
    export = Export(NOW, customers=400)
    export.write(small_desk.home / "payments.csv")
    assert len(export.lines) > 4000
    assert "refused 0" in small_desk.done("import", "stripe", "payments.csv")
    told = json.loads(small_desk.done("report", "--json"))
    assert (told["faults"], told["quality"]) == ([], 1.0)
    (euro,) = told["currencies"]
    assert euro["ranking"]["status"] == "ranked"
    assert len(euro["ranking"]["quick"]) > 5
    found = cases_of(small_desk)
    known = {d: c.debt.interval for d, c in found.items() if c.debt.interval is not None}
    assert {d: i for d, i in known.items() if export.truth.get(d) != i} == {}  # none is wrong
    assert len(known) > 0.9 * len(found)
    assert {c.debt.interval_source for d, c in found.items() if d in known} == {"inferred"}
    q12 = next(v for v in told["checks"]["verdicts"] if v["id"] == "Q12")
    assert q12["evidence"]["intervals"] == f"interval inferred from spacing for {len(known)} of {len(found)}"


def test_a_told_interval_is_never_overridden(desk: Desk) -> None:
    """The file tells `year` of a plan whose charges lie a month apart; it is a plan of a year, then, paid in twelfths."""
    desk.merchant()
    file = desk.home / "p.csv"
    plain(file, ("in_1", 33, "paid", ""), ("in_2", 3, "declined", "year"))
    desk.done("import", "csv", "p.csv")
    told = cases_of(desk)["in_2"].debt
    assert (told.interval, told.interval_source) == ("year", "stated")
    plain(file, ("in_1", 33, "paid", ""), ("in_2", 3, "declined", ""))
    assert "new 0, known 1" in desk.done("import", "csv", "p.csv")
    told = cases_of(desk)["in_2"].debt
    assert (told.interval, told.interval_source) == ("year", "stated")


def test_what_is_told_later_takes_the_place_of_what_was_inferred(desk: Desk) -> None:
    desk.merchant()
    file = desk.home / "p.csv"
    plain(file, ("in_2", 3, "declined", ""))
    desk.done("import", "csv", "p.csv")
    assert cases_of(desk)["in_2"].debt.interval is None
    plain(file, ("in_1", 33, "paid", ""), ("in_2", 3, "declined", ""))
    assert "new 0, known 1" in desk.done("import", "csv", "p.csv")  # a longer file says more
    case = cases_of(desk)["in_2"]
    assert (case.debt.interval, case.debt.interval_source) == ("month", "inferred")
    desk.done("import", "csv", "p.csv")
    assert cases_of(desk)["in_2"] == case
    tell(desk, "quarter")
    told = cases_of(desk)["in_2"].debt
    assert (told.interval, told.interval_source) == ("quarter", "stated")
    desk.done("import", "csv", "p.csv")
    assert cases_of(desk)["in_2"].debt == told
    assert " 0 faults" in desk.done("verify")
