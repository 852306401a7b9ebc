"""`recoup export`: finished cases leave the house with what was decided and how likely it was."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from recoup.domain.view import CaseView
from tests.cli.commands import Desk
from tests.support.house import BEGIN, NEVER_PAYS, add_merchant, fail, life, live_until, standing, view

EXPLORING = """name = "own"
window = "P28D"
[timing]
mode = "learned"
explore = 0.5
[[message]]
step = "action_needed"
after = "P7D"
"""


@pytest.fixture
def lines(desk: Desk) -> list[dict[str, Any]]:
    """The export of a merchant with one case recovered, three given up, and one still open."""
    desk.done("migrate")
    with standing(desk.env["RECOUP_DATABASE_URL"]) as house:
        merchant = add_merchant(house, policy=EXPLORING)
        pays = life(clears_at=BEGIN + timedelta(days=3))
        fail(house, merchant, view(1), lives=pays)
        fail(house, merchant, *(view(n) for n in (2, 3, 4)), lives=NEVER_PAYS)
        live_until(house, merchant, BEGIN + timedelta(days=29))
        later = BEGIN + timedelta(days=29)
        again = view(5, at=later, customer__id="cus_2")
        fail(house, merchant, again, lives=NEVER_PAYS)
        live_until(house, merchant, later + timedelta(days=9))
    return [json.loads(line) for line in desk.done("export").splitlines()]


def test_finished_cases_come_out_with_their_outcome(lines: list[dict[str, Any]]) -> None:
    assert sorted((v["debt"]["id"], v["outcome"]["state"]) for v in lines) == [
        ("in_1", "recovered"), ("in_2", "lost"), ("in_3", "lost"), ("in_4", "lost"),
    ]  # fmt: skip
    assert "someone" not in json.dumps(lines)


def test_every_charge_of_ours_has_the_propensity_of_its_decision(lines: list[dict[str, Any]]) -> None:
    ours = [(v, a) for v in lines for a in v["attempts"] if a["trigger"] == "recoup"]
    assert len(ours) > 8
    for v, attempt in ours:
        (made,) = [d for d in v["decisions"] if d.get("attempt_id") == attempt["id"]]
        assert made["move"] == "charge"
        assert made["at"] == attempt["at"]
        assert made["decided_at"] <= attempt["at"]
        assert made.get("propensity", 1.0) == attempt["propensity"]
        assert made["by"].startswith("timing:")
    drawn = {a["propensity"] for _, a in ours}
    assert min(drawn) < 0.5 < max(drawn), (
        "with explore = 0.5 some instants are drawn, some are the plan's own"
    )


def test_how_the_log_stopped_is_a_decision_too(lines: list[dict[str, Any]]) -> None:
    lost = next(v for v in lines if v["outcome"]["state"] == "lost")
    assert lost["decisions"][-1]["move"] == "give_up"
    asked = [d for d in lost["decisions"] if d["move"] == "ask"]
    assert len(asked) == 1


def test_lines_are_case_views_that_the_decider_reads(desk: Desk, lines: list[dict[str, Any]]) -> None:
    for line in lines:
        view = msgspec.json.decode(json.dumps(line), type=CaseView)
        assert view.outcome is not None
    out = desk.done("decide", stdin="".join(json.dumps(v) + "\n" for v in lines))
    assert len(out.splitlines()) == len(lines)


def test_open_cases_come_on_request_with_the_customers_earlier_debts(
    desk: Desk, tmp_path: Path, lines: list[dict[str, Any]]
) -> None:
    out = tmp_path / "log.jsonl"
    desk.done("export", "--open", "--merchant", "acme", "--out", str(out))
    views = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(views) == len(lines) + 1
    (still,) = [v for v in views if "outcome" not in v]
    assert [d["amount_minor"] for d in still["history"]] == [4900]
    assert len(still["history"][0]["attempts"]) > 1


def test_without_a_merchant_it_says_what_to_do(small_desk: Desk) -> None:
    small_desk.done("migrate")
    ended = small_desk.run("export")
    assert ended.returncode == 2
    assert "recoup merchant add" in ended.stderr
