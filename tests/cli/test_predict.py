"""`recoup predict`: a chance and its reasons for each line; learning prints how well chances held."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from recoup.domain.view import Method
from recoup.insight.coming import NO_FAILURE, coming
from recoup.store import customers, merchants, models, renewals
from recoup.store.engines import reading, writing
from recoup.store.renewals import Renewal
from tests.cli.commands import Desk
from tests.lab.test_predict import company
from tests.support.house import SECRET, add_merchant, standing

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


def line(**over: Any) -> str:
    view = {
        "renewal_id": "r_1", "customer": {"id": "cus_1"}, "next_bill_at": "2026-04-01T06:00:00Z", "amount_minor": 4900,
        "currency": "EUR", "method": {"id": "pm_1", "kind": "card", "funding": "debit", "expires": "2026-03"},
    }  # fmt: skip
    return json.dumps({**view, **over}) + "\n"


def past_renewals(path: Path, customers: int = 200) -> Path:
    path.write_bytes(b"".join(msgspec.json.encode(v) + b"\n" for v in company(7, customers)))
    return path


def test_each_line_gets_its_chance_and_why(small_desk: Desk) -> None:
    given = (
        line() + line(renewal_id="r_2", updater=True) + "not json\n" + line(renewal_id="r_3", colour="red")
    )
    ended = small_desk.run("predict", stdin=given)
    assert ended.returncode == 1
    first, second, third, fourth = map(json.loads, ended.stdout.splitlines())
    assert (first["renewal_id"], first["by"]) == ("r_1", "prior_renewals_1")
    assert 0 < second["chance"] < first["chance"] < 1
    assert first["at_risk_minor"] == round(first["chance"] * 4900, 0) or first["at_risk_minor"] > 0
    assert "expired" in first["because"][0]["says"]
    assert third["line"] == 3
    assert "colour" in fourth["error"]


def test_learning_shows_a_calibration_table_and_its_model_predicts(small_desk: Desk) -> None:
    past = past_renewals(small_desk.home / "past.jsonl")
    out = small_desk.done("predict", "--learn", str(past), "--out", "renewals.json")
    assert "held back from the fit" in out
    assert out.count("%") > 30
    assert "AUC: 0." in out
    assert "Brier score" in out
    said = json.loads(small_desk.done("predict", "--model", "renewals.json", stdin=line()))
    assert said["by"].startswith("renewals_")


def test_what_cannot_be_learned_from_is_said(small_desk: Desk) -> None:
    (small_desk.home / "past.jsonl").write_text(line())
    ended = small_desk.run("predict", "--learn", "past.jsonl", "--out", "m.json")
    assert ended.returncode == 1
    assert "`failed`" in ended.stderr
    assert small_desk.run("predict", "--learn", "past.jsonl").returncode == 2


def test_a_file_that_is_no_renewal_model_is_refused(small_desk: Desk) -> None:
    (small_desk.home / "m.json").write_text("{}")
    ended = small_desk.run("predict", "--model", "m.json", stdin=line())
    assert ended.returncode == 1
    assert "recoup predict --learn" in ended.stderr


def store_renewals(desk: Desk, url: str) -> None:
    """Three renewals of three customers of acme, 2, 22 and 42 days ahead."""
    desk.env["RECOUP_SECRET_KEY"] = SECRET
    with standing(url) as house:
        merchant = add_merchant(house, test_clock=NOW)
        with writing(house.db) as tx:
            for n in range(3):
                customers.learn(tx, merchant.id, [{"id": f"cus_{n}"}], NOW)
                told = Renewal(subscription_id="s", due_at=NOW + timedelta(days=2 + 20 * n), amount_minor=4900, currency="EUR",
                               method=Method(id="pm"))  # fmt: skip
                renewals.learn(tx, merchant.id, f"cus_{n}", [told])


def speakers(desk: Desk, url: str) -> set[str]:
    """Which models predict acme's renewals: to the command, and to everything else that asks for them."""
    line = desk.done("predict", "--merchant", "acme").splitlines()[0]
    with standing(url) as house, reading(house.db) as tx:
        found = coming(house, merchants.get(tx, "acme"))
        return {json.loads(line)["prediction"]["by"], *(c.prediction.by for c in found)}


def test_a_learned_model_predicts_what_is_stored_until_it_is_put_away(
    small_desk: Desk, sqlite_url: str
) -> None:
    store_renewals(small_desk, sqlite_url)
    past = past_renewals(small_desk.home / "past.jsonl")
    assert "predicted by renewals_" in small_desk.done("predict", "--learn", str(past), "--activate")
    name = small_desk.json("merchant", "show", "acme")["renewal_model"]
    assert name.startswith("renewals_")
    assert speakers(small_desk, sqlite_url) == {name}
    checks = [json.loads(line) for line in small_desk.run("doctor", "--json").stdout.splitlines()]
    (check,) = [c for c in checks if "own model" in c["what"]]
    assert (check["state"], name in check["what"]) == ("ok", True)
    assert f"{name} is put away" in small_desk.done("predict", "--deactivate")
    assert small_desk.json("merchant", "show", "acme")["renewal_model"] == "shipped"
    assert speakers(small_desk, sqlite_url) == {"prior_renewals_1"}


def test_a_model_that_foretells_no_better_is_activated_only_by_force(
    small_desk: Desk, sqlite_url: str
) -> None:
    store_renewals(small_desk, sqlite_url)
    past = past_renewals(small_desk.home / "past.jsonl", customers=3)
    ended = small_desk.run("predict", "--learn", str(past), "--activate", "--out", "m.json")
    assert ended.returncode == 1
    assert "was not activated" in ended.stderr
    assert small_desk.json("merchant", "show", "acme")["renewal_model"] == "shipped"
    unjudged = small_desk.run("predict", "--model", "m.json", "--activate")
    assert (unjudged.returncode, "nobody has judged" in unjudged.stderr) == (2, True)
    small_desk.done("predict", "--model", "m.json", "--activate", "--force")
    assert small_desk.json("merchant", "show", "acme")["renewal_model"].startswith("renewals_")


def test_a_model_that_cannot_be_read_any_more_is_told_and_the_shipped_one_speaks(
    small_desk: Desk, sqlite_url: str
) -> None:
    store_renewals(small_desk, sqlite_url)
    with standing(sqlite_url) as house, writing(house.db) as tx:
        acme = merchants.get(tx, "acme")
        models.keep(tx, acme.id, version="v", name="of_the_future", body='{"format": 9}', now=NOW)
        models.choose_for_renewals(tx, acme.id, "v")
    assert speakers(small_desk, sqlite_url) == {"prior_renewals_1"}
    checks = [json.loads(line) for line in small_desk.run("doctor", "--json").stdout.splitlines()]
    (check,) = [c for c in checks if "own model" in c["what"]]
    assert (check["state"], "recoup predict --learn" in check["fix"]) == ("fault", True)


def test_what_the_billing_stored_is_predicted_by_name(small_desk: Desk, sqlite_url: str) -> None:
    store_renewals(small_desk, sqlite_url)
    ended = small_desk.run("predict", "--merchant", "acme")
    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    assert (ended.returncode, [x["customer_id"] for x in lines]) == (0, ["cus_0", "cus_1"])
    assert lines[0]["prediction"]["by"] == "prior_renewals_1"
    assert NO_FAILURE in lines[0]["missing"]
    assert "EUR: 2 renewals" in ended.stderr
    assert "of 2 no earlier renewal is known" in ended.stderr
    assert len(small_desk.done("predict", "--merchant", "acme", "--days", "60").splitlines()) == 3
    nothing = small_desk.run("predict", "--merchant", "acme", "--days", "1")
    assert (nothing.returncode, nothing.stdout) == (0, "")
    assert "no renewal is stored" in nothing.stderr
