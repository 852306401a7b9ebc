"""`recoup learn` on the installation's own cases: a model file, and the model the merchant's decisions go by."""

import json
from datetime import timedelta

import msgspec
import pytest

from recoup.decide.model import prior, read_model, write_model
from recoup.engine.house import House
from recoup.store import merchants
from recoup.store.engines import reading
from recoup.store.merchants import Merchant
from tests.cli.commands import Desk
from tests.support.house import (
    BEGIN,
    NEVER_PAYS,
    SECRET,
    add_merchant,
    fail,
    life,
    live_until,
    standing,
    view,
)

EXPLORING = """name = "own"
window = "P21D"
[timing]
mode = "learned"
explore = 0.3
"""


@pytest.fixture
def lived(desk: Desk) -> Desk:
    """A merchant with one case recovered and five given up, on either database."""
    desk.env["RECOUP_SECRET_KEY"] = SECRET
    desk.done("migrate")
    with standing(desk.env["RECOUP_DATABASE_URL"]) as house:
        merchant = add_merchant(house, policy=EXPLORING)
        fail(house, merchant, view(1), lives=life(clears_at=BEGIN + timedelta(days=3)))
        fail(house, merchant, *(view(n) for n in range(2, 7)), lives=NEVER_PAYS)
        live_until(house, merchant, BEGIN + timedelta(days=22))
    return desk


def test_it_reads_the_installations_own_finished_cases(lived: Desk) -> None:
    said = lived.done("learn", "--merchant", "acme", "--out", "model.json")
    model = read_model((lived.home / "model.json").read_bytes())
    assert said.startswith(f"{model.name}: 6 cases")
    assert model.learned_from["finished"] == 6
    assert lived.json("merchant", "show", "acme")["model"] == "shipped", "nothing was activated"
    lived.done("export", "--out", "log.jsonl")
    lived.done("learn", "--from", "log.jsonl", "--out", "same.json")
    assert (lived.home / "same.json").read_bytes() == (lived.home / "model.json").read_bytes()


def test_several_files_may_follow_from(lived: Desk) -> None:
    """As a shell writes `--from logs/*.jsonl`."""
    lived.done("export", "--out", "log.jsonl")
    one, *others = (lived.home / "log.jsonl").read_text().splitlines(keepends=True)
    (lived.home / "a.jsonl").write_text(one)
    (lived.home / "b.jsonl").write_text("".join(others))
    said = lived.done("learn", "--from", "a.jsonl", "b.jsonl", "--out", "model.json")
    assert ": 6 cases" in said
    alone = lived.run("learn", "a.jsonl", "--out", "model.json")
    assert alone.returncode == 2
    assert "write --from a.jsonl" in alone.stderr


def test_what_was_not_proven_better_is_activated_only_by_force(lived: Desk) -> None:
    ended = lived.run("learn", "--activate")
    assert ended.returncode == 1
    assert "was not activated" in ended.stderr
    assert lived.json("merchant", "show", "acme")["model"] == "shipped"
    assert "decides by model_" in lived.done("learn", "--activate", "--force")
    name = lived.json("merchant", "show", "acme")["model"]
    assert name.startswith("model_")
    found = [json.loads(line) for line in lived.run("doctor", "--json").stdout.splitlines()]
    (check,) = [c for c in found if "own model" in c["what"]]
    assert check["state"] == "ok"
    assert name in check["what"]
    assert f"{name} is put away" in lived.done("learn", "--deactivate", "--merchant", "acme")
    assert lived.json("merchant", "show", "acme")["model"] == "shipped"


def test_a_better_model_is_activated_and_decides(small_desk: Desk) -> None:
    small_desk.done("simulate", "--world", "prepaid", "--export", "log.jsonl", "--cases", "70", "--seed", "2")
    small_desk.env["RECOUP_SECRET_KEY"] = SECRET
    small_desk.done("migrate")
    with standing(small_desk.env["RECOUP_DATABASE_URL"]) as house:
        add_merchant(house, policy=EXPLORING.replace("0.3", "0.0"))
    small_desk.done("learn", "--from", "log.jsonl", "--activate")
    name = small_desk.json("merchant", "show", "acme")["model"]
    with standing(small_desk.env["RECOUP_DATABASE_URL"]) as house:
        (merchant,) = everyone(house)
        (case,) = fail(house, merchant, view(1), lives=NEVER_PAYS)
    assert case.plan is not None
    assert case.plan.by == f"timing:{name}"


def everyone(house: House) -> list[Merchant]:
    with reading(house.db) as tx:
        return merchants.everyone(tx)


def test_a_file_made_before_can_be_used_and_a_bad_one_is_refused(small_desk: Desk) -> None:
    small_desk.merchant()
    (small_desk.home / "own.json").write_bytes(write_model(msgspec.structs.replace(prior(), name="own")))
    (small_desk.home / "bad.json").write_text('{"name": "own"}')
    assert "nobody has judged" in small_desk.run("learn", "--use", "own.json", "--activate").stderr
    assert "decides by own" in small_desk.done("learn", "--use", "own.json", "--activate", "--force")
    ended = small_desk.run("learn", "--use", "bad.json", "--activate", "--force")
    assert ended.returncode == 1
    assert "bad.json: this is no model file" in ended.stderr
    assert small_desk.json("merchant", "show", "acme")["model"] == "own"


def test_without_finished_cases_there_is_nothing_to_learn(small_desk: Desk) -> None:
    small_desk.merchant()
    ended = small_desk.run("learn", "--activate", "--force")
    assert ended.returncode == 1
    assert ended.stderr.startswith("recoup: no case has an outcome")
    assert small_desk.json("merchant", "show", "acme")["model"] == "shipped"


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (("--from", "log.jsonl"), "would be lost"),
        (("--deactivate", "--activate"), "goes alone"),
    ],
)
def test_what_makes_no_sense_is_said(small_desk: Desk, asked: tuple[str, ...], why: str) -> None:
    (small_desk.home / "log.jsonl").write_text("")
    ended = small_desk.run("learn", *asked)
    assert ended.returncode == 2
    assert why in ended.stderr
