"""`recoup report`: the terminal, JSON, a page, files, the company's facts and a balance export."""

import csv
import json
from pathlib import Path

import pytest

from recoup.domain.instants import text
from recoup.domain.money import decimal
from recoup.engine import receive
from recoup.settings import Settings
from recoup.wiring import assemble
from tests.cli.commands import SECRET, Desk
from tests.insight.crafted import NOW, clean, keep, story

COMPANY = 'currency = "EUR"\ncustomers = 120\ngross_margin = 0.8\nmarket = "b2b"\n'


@pytest.fixture
def shop(small_desk: Desk) -> Desk:
    """A merchant that nobody told anything yet."""
    small_desk.done("migrate")
    small_desk.done("merchant", "add", "acme", "--psp", "sandbox")
    return small_desk


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A merchant on a test clock with eight months behind it."""
    home = tmp_path_factory.mktemp("played")
    desk = Desk(home, f"sqlite:///{home}/recoup.db")
    desk.done("migrate")
    desk.done("merchant", "add", "acme", "--psp", "sandbox", "--test-clock", text(NOW))
    house = assemble(Settings(database_url=desk.env["RECOUP_DATABASE_URL"], secret_key=SECRET))
    yen = [story(f"y{i}", "R" if i % 2 else "LI", age=40 + i, currency="JPY", amount=980) for i in range(20)]
    still = [story(f"o{i}", "O", age=6) for i in range(5)]
    keep(house, receive.merchant_named(house, "acme"), [*clean(200), *yen, *still])
    house.db.dispose()
    return desk


def test_a_new_house_says_that_there_is_nothing_yet(shop: Desk) -> None:
    ended = shop.run("report")
    assert ended.returncode == 0
    assert "nothing to report" in ended.stdout


def test_the_terminal_tells_the_outcome_first(played: Desk) -> None:
    ended = played.run("report")
    assert ended.returncode == 0, ended.stderr
    first = ended.stdout.splitlines()[0]
    assert first.startswith("€")
    for words in (
        "within 30 days",
        "sandbox on a test clock",
        "What to do first",
        "What could mislead",
        "open cases",
    ):
        assert words in " ".join(ended.stdout.split())


def test_json_holds_everything(played: Desk) -> None:
    told = json.loads(played.run("report", "--json").stdout)
    assert {"figures", "cohorts", "curve", "currencies", "benchmarks", "checks", "definitions"} <= set(told)
    assert len(told["checks"]["verdicts"]) == 77
    assert {p["currency"] for p in told["currencies"]} == {"EUR", "JPY"}
    assert told["label"]


def test_a_page_that_needs_nothing_else(played: Desk) -> None:
    page = played.home / "report.html"
    assert played.run("report", "--html", str(page)).returncode == 0
    html = page.read_text()
    assert html.startswith("<!doctype html>")
    assert "<script" not in html
    assert "src=" not in html
    assert html.count("<svg") >= 7
    assert 'download="curve.csv"' in html


def test_files_for_other_programs(played: Desk) -> None:
    out = played.home / "out"
    assert played.run("report", "--csv", str(out / "csv"), "--parquet", str(out / "parquet")).returncode == 0
    with (out / "csv" / "cases.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows
    assert {"outcome", "due_minor", "reason", "cohort_month"} <= set(rows[0])
    assert sorted(p.name for p in (out / "parquet").iterdir()) == [
        "arms.parquet", "attempts.parquet", "cases.parquet", "events.parquet", "messages.parquet",
    ]  # fmt: skip


def test_the_companys_facts_are_kept(played: Desk) -> None:
    facts = played.home / "company.toml"
    facts.write_text(COMPANY)
    told = json.loads(played.run("report", "--json", "--company", str(facts)).stdout)
    assert told["currencies"][0]["ranking"]["target"]["share"] == 0.5
    again = json.loads(played.run("report", "--json").stdout)
    assert again["currencies"][0]["ranking"]["target"]["share"] == 0.5


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ("customers = 'many'", "customers"),
        ("vibes = 1", "vibes"),
        ("= 1", "was not taken"),
        ("gross_margin = 8.0", "between 0 and 1"),
    ],
)
def test_wrong_facts_are_refused_by_name(shop: Desk, toml: str, says: str) -> None:
    Path(shop.home / "company.toml").write_text(toml)
    ended = shop.run("report", "--company", "company.toml")
    assert ended.returncode == 2
    assert says in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_an_export_that_cannot_be_read(shop: Desk) -> None:
    Path(shop.home / "x.csv").write_text("a,b\n1,2\n")
    ended = shop.run("report", "--ledger", "x.csv")
    assert (ended.returncode, "no column for id" in ended.stderr) == (2, True)
    assert shop.run("report", "--ledger", "none.csv").returncode == 2


def test_an_export_that_does_not_agree_is_a_fault(played: Desk) -> None:
    out = played.home / "attempts"
    played.run("report", "--csv", str(out))
    with (out / "attempts.csv").open(newline="") as file:
        paid = [r for r in csv.DictReader(file) if r["result"] == "paid"]
    lines = ["id,kind,at,amount,currency,fee,attempt_id"]
    lines += [
        f"t{n},payment,{r['tried_at'].replace(' ', 'T')}Z,{decimal(int(r['amount_minor']), r['currency']):f},{r['currency']},0,{r['id']}"
        for n, r in enumerate(paid)
    ]
    whole, short = played.home / "whole.csv", played.home / "short.csv"
    whole.write_text("\n".join(lines))
    middle = len(lines) // 2
    short.write_text("\n".join(lines[:middle] + lines[middle + 1 :]))
    assert played.run("report", "--json", "--ledger", str(whole)).returncode == 0
    ended = played.run("report", "--json", "--ledger", str(short))
    assert ended.returncode == 1
    assert ended.stderr.startswith("recoup: Q01 ")
    assert "Q01" in json.loads(ended.stdout)["faults"][0]
