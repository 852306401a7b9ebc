"""`recoup import`: history of other systems, honestly, as often as one likes."""

import csv
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from recoup.cli import importing
from recoup.domain.case import Case
from recoup.engine.backfill import Taken, take_back
from recoup.engine.clock import SystemClock
from recoup.engine.house import House
from recoup.settings import Settings
from recoup.store import cases, merchants
from recoup.store.engines import reading
from recoup.wiring import assemble
from tests.cli.commands import SECRET, Desk
from tests.support.house import view_json

NOW = SystemClock().now().replace(microsecond=0)
COLUMNS = [
    "id",
    "Created date (UTC)",
    "Amount",
    "Amount Refunded",
    "Currency",
    "Captured",
    "Converted Amount",
    "Decline Reason",
    "Description",
    "Fee",
    "PaymentIntent ID",
    "Payment Source Type",
    "Status",
    "Seller Message",
    "Card ID",
    "Card Brand",
    "Card Exp Month",
    "Card Exp Year",
    "Card Fingerprint",
    "Card Funding",
    "Card Issue Country",
    "Card Last4",
    "Customer ID",
    "Customer Email",
    "Invoice ID",
]


def stripe_row(id: str, invoice: str, status: str, days_ago: float, **over: str) -> dict[str, str]:
    at = (NOW - timedelta(days=days_ago)).strftime("%Y-%m-%d %H:%M:%S")
    row = dict.fromkeys(COLUMNS, "") | {
        "id": id, "Created date (UTC)": at, "Amount": "1,049.00", "Currency": "eur", "Status": status,
        "Description": "Subscription update, monthly", "PaymentIntent ID": f"pi_{invoice}", "Payment Source Type": "card",
        "Seller Message": "The bank returned the decline code `insufficient_funds`." if status == "Failed" else "",
        "Card ID": "pm_1", "Card Brand": "MasterCard", "Card Exp Month": "4", "Card Exp Year": "2028",
        "Card Fingerprint": "fp_1", "Card Funding": "debit", "Card Issue Country": "DE", "Card Last4": "42",
        "Customer ID": f"cus_{invoice}", "Customer Email": f"{invoice}@customer.example", "Invoice ID": f"in_{invoice}",
    }  # fmt: skip
    return row | over


def write(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\r\n")
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def house(desk: Desk) -> Iterator[House]:
    desk.merchant()
    made = assemble(Settings(database_url=desk.env["RECOUP_DATABASE_URL"], secret_key=SECRET))
    yield made
    made.db.dispose()


def case_of(house: House, debt: str) -> Case:
    with reading(house.db) as tx:
        merchant = merchants.get(tx, "acme")
        return cases.by_debts(tx, merchant.id, [debt])[debt]


def test_a_payments_export_becomes_open_and_closed_cases(desk: Desk, house: House) -> None:
    file = desk.home / "payments.csv"
    rows = [
        stripe_row("ch_9", "fine", "Paid", 3),
        stripe_row("ch_1", "open", "Failed", 5),
        stripe_row("ch_2", "open", "Failed", 2, **{"Decline Reason": "generic_decline"}),
        stripe_row("ch_3", "won", "Failed", 100),
        stripe_row("ch_4", "won", "Paid", 97),
        stripe_row("ch_5", "newcard", "Failed", 100),
        stripe_row("ch_6", "newcard", "Paid", 99, **{"Card ID": "pm_2", "Card Fingerprint": "fp_2"}),
        stripe_row("ch_7", "lost", "Failed", 90),
        stripe_row("ch_8", "yen", "Failed", 90, Amount="4900", Currency="jpy"),
        stripe_row("ch_a", "drawn", "Canceled", 1),
    ]
    write(file, rows[::-1])
    said = desk.done("import", "stripe", "payments.csv").splitlines()
    assert said[0] == "read 10, new 5, known 0, refused 0"
    assert "1 open and 4 closed new cases" in said[1]
    assert not (desk.home / "payments.csv.refused.csv").exists()
    still = case_of(house, "in_open")
    assert still.state == "waiting"
    assert still.debt.amount_minor == 104900
    assert [(a.trigger.value, a.code) for a in still.attempts] == [
        ("renewal", "insufficient_funds"), ("native", "generic_decline"),
    ]  # fmt: skip
    assert (still.methods[0].network, still.methods[0].last4, still.methods[0].expires) == (
        "mastercard",
        "0042",
        "2028-04",
    )
    won, other = case_of(house, "in_won"), case_of(house, "in_newcard")
    assert (won.state, won.by) == ("recovered", "native")
    assert won.closed_at == NOW - timedelta(days=97)
    assert won.opened_at == NOW - timedelta(days=100)
    assert (other.state, other.by) == ("recovered", "customer")
    assert (case_of(house, "in_lost").state, case_of(house, "in_lost").next_action_at) == ("lost", None)
    assert case_of(house, "in_yen").debt.amount_minor == 4900
    assert " 0 faults" in desk.done("verify")


def test_again_changes_nothing_and_a_later_payment_closes(desk: Desk, house: House) -> None:
    file = desk.home / "payments.csv"
    rows = [stripe_row("ch_1", "a", "Failed", 5), stripe_row("ch_3", "b", "Failed", 90)]
    write(file, rows)
    assert "new 2, known 0" in desk.done("import", "stripe", "payments.csv")
    before = case_of(house, "in_a")
    assert "new 0, known 2" in desk.done("import", "stripe", "payments.csv")
    assert case_of(house, "in_a") == before
    write(file, [*rows, stripe_row("ch_2", "a", "Paid", 0.1)])
    assert "new 0, known 2" in desk.done("import", "stripe", "payments.csv")
    closed = case_of(house, "in_a")
    assert (closed.state, closed.by) == ("recovered", "native")
    assert " 0 faults" in desk.done("verify")


def test_bad_lines_are_named_and_the_others_taken(desk: Desk, house: House) -> None:
    file = desk.home / "payments.csv"
    write(file, [
        stripe_row("ch_1", "a", "Failed", 5),
        stripe_row("ch_2", "b", "Failed", 5, Amount="ten"),
        stripe_row("ch_3", "c", "Failed", 5, Currency="euro", Description="two\nlines"),
        stripe_row("ch_4", "d", "Quantum", 5),
        stripe_row("ch_5", "e", "Failed", 5, **{"Created date (UTC)": "yesterday"}),
        stripe_row("ch_6", "f", "Failed", -9),
        stripe_row("ch_7", "g", "Failed", 5),
        stripe_row("ch_8", "g", "Failed", 4, Currency="usd"),
    ])  # fmt: skip
    ended = desk.run("import", "stripe", "payments.csv")
    assert ended.returncode == 1
    assert ended.stdout.startswith("read 8, new 1, known 0, refused 7\n")
    assert "payments.csv.refused.csv" in ended.stderr
    with (desk.home / "payments.csv.refused.csv").open() as refused:
        reasons = {int(row["line"]): row["reason"] for row in csv.DictReader(refused)}
    assert sorted(reasons) == [3, 4, 6, 7, 8, 9, 10]
    both = "EUR and in USD"
    words = {3: "'ten'", 4: "'euro'", 6: "'Quantum'", 7: "'yesterday'", 8: "future", 9: both, 10: both}
    assert all(word in reasons[line] for line, word in words.items()), reasons


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", "id,Amount\n1,2\n", "not Stripe's payments export"),
        ("b.csv", "", "not Stripe's payments export"),
        (
            "c.csv",
            b"id\xef,Created (UTC),Amount,Currency,Status\nch_1,2026-01-01,4,eur,Paid\n",
            "'id' is missing",
        ),
    ],
)
def test_another_file_is_refused_whole(small_desk: Desk, name: str, content: str | bytes, words: str) -> None:
    small_desk.merchant()
    (small_desk.home / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    ended = small_desk.run("import", "stripe", name)
    assert (ended.returncode, words in ended.stderr) == (2, True), ended.stderr


def test_a_line_of_other_bytes_is_refused_alone(small_desk: Desk) -> None:
    small_desk.merchant()
    file = small_desk.home / "payments.csv"
    write(
        file,
        [stripe_row("ch_1", "a", "Failed", 5), stripe_row("ch_2", "b", "Failed", 5, Description="L4TIN")],
    )
    file.write_bytes(file.read_bytes().replace(b"L4TIN", "Café".encode("latin-1")))
    ended = small_desk.run("import", "stripe", "payments.csv")
    assert (ended.returncode, ended.stdout.splitlines()[0]) == (1, "read 2, new 1, known 0, refused 1")
    told = (small_desk.home / "payments.csv.refused.csv").read_text()
    assert "3,the column 'Description' is not text in UTF-8" in told


@pytest.mark.parametrize(
    ("encoding", "comma"), [("utf-8", ";"), ("utf-8-sig", "\t"), ("utf-16", "\t"), ("utf-16", ";")]
)
def test_what_spreadsheets_save(small_desk: Desk, encoding: str, comma: str) -> None:
    small_desk.merchant()
    row = stripe_row("ch_1", "a", "Failed", 5, Amount="1.049,00", Description="Café, à deux")
    lines = [[f'"{cell}"' for cell in cells] for cells in (row, row.values())]
    (small_desk.home / "p.csv").write_bytes(
        "".join(comma.join(line) + "\r\n" for line in lines).encode(encoding)
    )
    assert small_desk.done("import", "stripe", "p.csv").startswith("read 1, new 1, known 0, refused 0")
    assert "1049.00 EUR" in small_desk.done("explain", "in_a")


def test_a_debt_waits_for_a_line_that_may_tell_it_paid(desk: Desk, house: House) -> None:
    """Taken without that line it would stand in the books as lost, or be asked for again."""
    file = desk.home / "payments.csv"
    rows = [
        stripe_row("ch_1", "a", "Failed", 90),
        stripe_row("ch_2", "a", "Paid", 87, Amount="ten"),
        stripe_row("ch_3", "b", "Failed", 90),
        stripe_row("ch_4", "b", "Failed", 87, Amount="ten"),
        stripe_row("ch_4", "c", "Failed", 90),
        stripe_row("ch_4", "c", "Failed", 90),
    ]
    write(file, rows)
    ended = desk.run("import", "stripe", "payments.csv")
    assert ended.stdout.splitlines()[0] == "read 6, new 2, known 0, refused 3"
    assert "1 lines say again what others said" in ended.stdout
    told = (desk.home / "payments.csv.refused.csv").read_text()
    assert "2,line 3 may tell that this debt is paid; correct that line first" in told
    assert case_of(house, "in_b").state == "lost"
    rows[1]["Amount"] = rows[3]["Amount"] = "1049"
    write(file, rows)
    assert "new 1, known 2, refused 0" in desk.done("import", "stripe", "payments.csv")
    assert case_of(house, "in_a").state == "recovered"


def test_what_an_earlier_file_gave_up_is_paid_by_a_later_one(desk: Desk, house: House) -> None:
    rows = [stripe_row("ch_1", "a", "Failed", 90), stripe_row("ch_2", "b", "Failed", 90)]
    write(desk.home / "p.csv", rows)
    desk.done("import", "stripe", "p.csv")
    lost = case_of(house, "in_a")
    assert lost.state == "lost"
    write(desk.home / "p.csv", [*rows, stripe_row("ch_3", "a", "Paid", 1)])
    desk.done("import", "stripe", "p.csv")
    case = case_of(house, "in_a")
    assert (case.state, case.given_up_at, case.surplus_minor) == ("recovered", lost.closed_at, 0)
    assert case_of(house, "in_b").state == "lost"
    desk.done("import", "stripe", "p.csv")
    assert case_of(house, "in_a") == case


def test_the_same_payments_by_another_column_are_due_once(desk: Desk, house: House) -> None:
    """A file that was taken in by invoice comes again without its invoices, so that its debts have other names."""
    rows = [
        stripe_row("ch_1", "a", "Failed", 3),
        stripe_row("ch_2", "a", "Failed", 1),
        stripe_row("ch_3", "b", "Failed", 1),
    ]
    write(desk.home / "by_invoice.csv", rows)
    desk.done("import", "stripe", "by_invoice.csv")
    before = case_of(house, "in_a")
    write(desk.home / "by_intent.csv", [row | {"Invoice ID": ""} for row in rows])
    again = desk.run("import", "stripe", "by_intent.csv")
    assert again.returncode == 1
    assert "new 0, known 0, refused 3" in again.stdout
    told = (desk.home / "by_intent.csv.refused.csv").read_text()
    assert "its payment ch_1 is known already, of debt in_a; nothing is due twice" in told
    assert case_of(house, "in_a") == before


def test_the_plain_file(desk: Desk, house: House) -> None:
    at = (NOW - timedelta(days=2)).isoformat()
    rows = [
        {"debt_id": "d1", "customer_id": "c1", "at": at, "amount": "12.500", "currency": "KWD", "result": "declined",
         "trigger": "renewal", "code": "insufficient_funds", "method_id": "pm", "network": "visa", "timezone": "Asia/Kuwait"},
        {"debt_id": "d2", "customer_id": "c2", "at": at, "amount": "1,5", "currency": "EUR", "result": "maybe"},
        {"debt_id": "d3", "customer_id": "c3", "at": at, "amount": "1,5", "currency": "EUR", "result": "declined",
         "timezone": "Mars/Olympus"},
    ]  # fmt: skip
    write(desk.home / "p.csv", [dict.fromkeys(rows[0], "") | r for r in rows])
    ended = desk.run("import", "csv", "p.csv")
    assert ended.stdout.startswith("read 3, new 1, known 0, refused 2"), ended
    case = case_of(house, "d1")
    assert (case.debt.amount_minor, case.customer.timezone) == (12500, "Asia/Kuwait")
    write(desk.home / "q.csv", [r | {"amuont": "1"} for r in rows[:1]])
    ended = desk.run("import", "csv", "q.csv")
    assert (ended.returncode, "did you mean 'amount'?" in ended.stderr) == (2, True), ended.stderr


def test_case_views_with_their_outcomes(desk: Desk, house: House) -> None:
    old = NOW - timedelta(days=200)

    def lived(n: int, **outcome: Any) -> dict[str, Any]:
        view = view_json(n, at=old)
        view["messages"] = [
            {"at": view["now"], "channel": "email", "step": "soft_notice", "status": "clicked"}
        ]
        return view | {"outcome": outcome}

    end = (old + timedelta(days=9)).isoformat()
    views = [
        lived(1, state="recovered", at=end, by="customer"),
        lived(2, state="lost", at=end),
        lived(3, state="lost_voluntary", at=end),
        lived(4, state="excluded", at=end),
        view_json(5, at=NOW),
        lived(6, state="vanished"),
        view_json(7, at=old) | {"colour": "red"},
    ]
    (desk.home / "v.jsonl").write_text("".join(json.dumps(v) + "\n" for v in views))
    ended = desk.run("import", "jsonl", "v.jsonl")
    assert ended.stdout.startswith("read 7, new 5, known 0, refused 2"), ended
    got = {n: case_of(house, f"in_{n}") for n in range(1, 6)}
    assert [got[n].state.value for n in got] == ["recovered", "lost", "lost_voluntary", "excluded", "waiting"]
    assert got[1].by == "customer"
    assert got[1].closed_at == old + timedelta(days=9)
    assert got[1].messages[0].status == "clicked"
    assert " 0 faults" in desk.done("verify")
    told = desk.done("explain", "in_1")
    assert "49.00 EUR" in told
    assert desk.done("explain", "c_1", "--json").count("\n") >= 3


def test_ten_thousand_lines(small_desk: Desk) -> None:
    small_desk.merchant()
    rows = []
    for n in range(5000):
        rows.append(stripe_row(f"ch_{n}_0", str(n), "Failed" if n % 5 == 0 else "Paid", 40 + n % 60))
        rows.append(
            stripe_row(f"ch_{n}_1", str(n), "Paid", 38 + n % 60)
            if n % 2
            else stripe_row(f"x_{n}", f"x{n}", "Paid", 9)
        )
    write(small_desk.home / "big.csv", rows)
    assert small_desk.done("import", "stripe", "big.csv").startswith(
        "read 10000, new 1000, known 0, refused 0"
    )


def test_stopped_in_the_middle_it_goes_on_later(small_desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    small_desk.merchant()
    write(small_desk.home / "p.csv", [stripe_row(f"ch_{n}", str(n), "Failed", 90) for n in range(600)])
    taken: list[int] = []

    def pressed(*of: Any) -> list[Taken]:
        if taken:
            raise KeyboardInterrupt
        taken.append(1)
        return take_back(*of)

    with monkeypatch.context() as patched:
        patched.setattr(importing, "take_back", pressed)
        ended = small_desk.run("import", "stripe", "p.csv")
    assert (ended.returncode, ended.stdout) == (130, "")
    assert ended.stderr == "recoup: stopped; what was taken in stays; run again to go on\n"
    assert small_desk.done("import", "stripe", "p.csv").startswith("read 600, new 100, known 500, refused 0")


def test_ctrl_c_is_told(small_desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def pressed(*_: Any) -> None:
        raise KeyboardInterrupt

    small_desk.merchant()
    with monkeypatch.context() as patched:
        patched.setattr("recoup.cli.opening.opened", pressed)
        ended = small_desk.run("explain", "c_1")
    assert (ended.returncode, ended.stderr) == (130, "recoup: stopped\n")


def test_a_progress_bar_where_somebody_watches(small_desk: Desk) -> None:
    small_desk.merchant()
    write(small_desk.home / "p.csv", [stripe_row(f"ch_{n}", str(n), "Failed", 90) for n in range(50)])
    seen, code = small_desk.typed("import", "stripe", "p.csv")
    assert code == 0
    assert "reading" in seen
    assert "100%" in seen
    assert "read 50, new 50" in seen
