"""`recoup backtest`: from files and from the house's own cases."""

import json
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from recoup.engine.policies import parse, text_of
from recoup.lab import backtest_world as world
from tests.cli.commands import Desk
from tests.support.house import BEGIN, add_merchant, fail, life, live_until, standing, view

POLICY = """name = "own"
window = "P28D"
[timing]
mode = "learned"
explore = 0.4
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    base = parse(text_of("default")[0])
    exploring = msgspec.structs.replace(
        base, message=(), timing=msgspec.structs.replace(base.timing, explore=0.3, attempts=6)
    )
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"".join(msgspec.json.encode(v) + b"\n" for v in world.log_of(4, 400, exploring)))
    return path


def test_a_log_is_told_in_a_sentence_and_a_table(small_desk: Desk, log: Path) -> None:
    (small_desk.home / "first.toml").write_text(POLICY.replace("0.4", "0.3"))
    text = (small_desk.home / "first.toml").read_text()
    (small_desk.home / "first.toml").write_text(text + 'charge_hours = "06:00-22:00"\nattempts = 6\n')
    out = small_desk.done("backtest", "--from", str(log), "--policy", "first.toml", "--html", "b.html")
    assert out.startswith("Had own chosen the instants of our charges, ")
    assert "Failed payments recovered" in out
    assert "EUR kept after costs per case" in out
    assert (small_desk.home / "b.html").read_text().startswith("<!doctype html>")


def test_a_refusal_ends_with_one_and_is_json_too(small_desk: Desk, log: Path) -> None:
    ended = small_desk.run("backtest", "--from", str(log), "--policy", "weekly", "--json")
    assert ended.returncode == 1
    told = json.loads(ended.stdout)
    assert told["refusal"]["code"] == "not_tried"
    assert told["recovered"] == []
    assert 0 < told["support"]["covered"] < 0.9


def test_several_files_may_follow_from(small_desk: Desk, log: Path) -> None:
    lines = log.read_bytes().splitlines(keepends=True)
    for name, part in (("a.jsonl", lines[:100]), ("b.jsonl", lines[100:])):
        (small_desk.home / name).write_bytes(b"".join(part))
    whole = small_desk.run("backtest", "--from", str(log), "--policy", "weekly", "--json")
    parts = small_desk.run("backtest", "--from", "a.jsonl", "b.jsonl", "--policy", "weekly", "--json")
    assert json.loads(parts.stdout) == json.loads(whole.stdout)


def test_lines_that_are_no_case_views_are_named(small_desk: Desk, log: Path) -> None:
    log.write_bytes(b'{"case_id": 1}\n' + log.read_bytes())
    ended = small_desk.run("backtest", "--from", str(log), "--policy", "weekly")
    assert "1 lines are no case views" in ended.stderr
    assert "log.jsonl:1" in ended.stderr


def test_a_house_holds_its_own_policy_against_its_own_cases(desk: Desk) -> None:
    """The propensities survive: the policy that ran is given back with every weight 1."""
    desk.done("migrate")
    (desk.home / "own.toml").write_text(POLICY)
    with standing(desk.env["RECOUP_DATABASE_URL"]) as house:
        merchant = add_merchant(house, policy=POLICY)
        for n in range(16):
            clears = BEGIN + timedelta(days=1 + 2 * (n % 12)) if n % 4 else None
            fail(house, merchant, view(n), lives=life(clears_at=clears))
        live_until(house, merchant, BEGIN + timedelta(days=29))
    ended = desk.run("backtest", "--merchant", "acme", "--policy", "own.toml", "--json")
    told = json.loads(ended.stdout)
    assert told["cases"] == 16
    assert told["support"]["drawn"] > 16
    assert told["support"]["covered"] == pytest.approx(1.0, abs=1e-3)
    assert told["agrees"] > 0.4
    assert told["refusal"]["code"] == "too_few", "16 cases are no evidence"
    assert told["log_policies"] == {"own@1": 16}


def test_cases_come_from_one_place(small_desk: Desk, log: Path) -> None:
    for given in ((), ("--from", str(log), "--merchant", "acme")):
        ended = small_desk.run("backtest", "--policy", "default", *given)
        assert ended.returncode == 2
        assert "--merchant" in ended.stderr
