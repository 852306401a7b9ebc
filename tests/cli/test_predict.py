"""`recoup predict`: a chance and its reasons for each line; learning prints how well chances held."""

import json
from pathlib import Path
from typing import Any

import msgspec

from tests.cli.commands import Desk
from tests.lab.test_predict import company


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
