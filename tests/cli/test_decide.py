"""`recoup decide`: one answer for one line, in order, at once, and the same every time."""

import json
import subprocess
from typing import Any

from recoup.cli.answers import decider, reference
from recoup.domain.instants import text
from recoup.engine.policies import parse, text_of
from tests.cli.commands import RECOUP, Desk
from tests.support.house import view_json

ALWAYS = {"case_id", "move", "at", "because", "by", "propensity", "policy"}
WITH = {
    "charge": {"method_id", "amount_minor"},
    "ask": {"channel", "step"},
    "hand_over": {"queue"},
    "give_up": {"action"},
}
SOMETIMES = {"rules", "skipped", "runners_up"}


def lines(*views: dict[str, Any]) -> str:
    return "".join(json.dumps(v) + "\n" for v in views)


def answers(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def declined(n: int, code: str, **over: Any) -> dict[str, Any]:
    made = view_json(n, **over)
    made["attempts"][0] |= {"code": None, "network_code": code}
    return made


def test_each_move_has_what_it_needs_and_nothing_else(small_desk: Desk) -> None:
    views = [declined(1, "51"), declined(2, "54"), declined(3, "41"), view_json(4, methods=[])]
    late = declined(5, "51")
    late["now"] = "2026-09-01T00:00:00Z"
    pending = declined(6, "51")
    pending["attempts"][0]["result"] = "unknown"
    told = answers(small_desk.done("decide", stdin=lines(*views, late, pending)))
    assert [d["case_id"] for d in told] == ["c_1", "c_2", "c_3", "c_4", "c_5", "c_6"]
    for decision in told:
        must = ALWAYS | WITH.get(decision["move"], set())
        assert must <= set(decision) <= must | SOMETIMES, decision
        assert decision["at"].endswith("Z")
        assert decision["policy"].startswith("default@")
        assert decision["because"]
    assert [d["move"] for d in told][4:] == ["give_up", "reconcile"]
    assert told[0]["move"] == "charge"


def test_the_same_line_and_seed_give_the_same_bytes(small_desk: Desk) -> None:
    given = lines(*(declined(n, code) for n in range(50) for code in ("51", "05", "91")))
    first = small_desk.done("decide", "--seed", "4", stdin=given)
    assert first == small_desk.done("decide", "--seed", "4", stdin=given)


def test_at_is_never_before_now_and_in_utc(small_desk: Desk) -> None:
    view = declined(1, "51")
    view["now"] = "2026-03-02T10:00:00+05:30"
    (decision,) = answers(small_desk.done("decide", stdin=lines(view)))
    assert decision["at"] >= "2026-03-02T04:30:00Z"
    assert decision["at"].endswith("Z")


def test_a_bad_line_gets_an_answer_too(small_desk: Desk) -> None:
    good = lines(declined(1, "51"))
    ended = small_desk.run("decide", stdin=good + "{nonsense\n\n" + good.replace("EUR", "euro") + good)
    told = answers(ended.stdout)
    assert ended.returncode == 1
    assert ["error" in d for d in told] == [False, True, True, True, False]
    assert [d["line"] for d in told if "error" in d] == [2, 3, 4]
    assert "$.debt" in told[3]["error"]


def test_a_program_can_talk_to_it(small_desk: Desk) -> None:
    """Each answer comes before the next question is asked."""
    with subprocess.Popen(
        [*RECOUP, "decide"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=small_desk.home
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for n in range(5):
            process.stdin.write(lines(declined(n, "51")))
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["case_id"] == f"c_{n}"
        process.stdin.close()
    assert process.returncode == 0


def test_a_policy_of_ones_own(small_desk: Desk) -> None:
    own = 'name = "mine"\n[timing]\nmode = "schedule"\n[[retry]]\nafter = "P2D"\n'
    (small_desk.home / "mine.toml").write_text(own)
    (decision,) = answers(small_desk.done("decide", "--policy", "mine.toml", stdin=lines(declined(1, "51"))))
    assert decision["at"] == "2026-03-04T08:00:00Z"
    assert decision["policy"].startswith("mine@")


def test_the_version_changes_with_the_content() -> None:
    policy = parse(*text_of("default")[:1])
    other = parse(text_of("default")[0].replace('window = "P28D"', 'window = "P29D"'))
    assert reference(policy) != reference(other)
    assert reference(policy) == reference(parse("# a remark\n" + text_of("default")[0]))


def test_nothing_is_asked_but_the_line() -> None:
    policy = parse(text_of("default")[0])
    one = decider(policy, "default@1", 0)
    line = lines(declined(1, "51")).encode()
    assert text(one(line).at) == text(one(b"  " + line + b"\n").at)


def test_a_file_that_is_no_model_is_refused(small_desk: Desk) -> None:
    (small_desk.home / "m.json").write_text('{"weights": []}')
    ended = small_desk.run("decide", "--model", "m.json", stdin=lines(declined(1, "51")))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "m.json" in ended.stderr
    assert "recoup learn" in ended.stderr
