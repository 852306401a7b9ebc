"""Simulations: the same table however it is played, figures that add up, and a log that can be learned from."""

import io
import re
from collections import defaultdict

import msgspec
import pytest

from recoup.cli.simulated_house import InTheHouse
from recoup.decide.model import prior, write_model
from recoup.domain.view import CaseView, Trigger
from recoup.engine.policies import NoSuchPolicy
from recoup.lab import tally
from recoup.lab.random_log import write_log
from recoup.lab.simulate import Entrant, Local, entrant, here, run
from recoup.lab.world import load

CONSUMER = load("consumer")
ENTRANTS = [entrant(name) for name in ("default", "stripe_357", "woo_unbound", "nothing")]


def quiet(name: str) -> Entrant:
    """The entrant without exploring: the house draws by a case's version, a simulation by its step."""
    one = entrant(name)
    if one.policy is None:
        return one
    return msgspec.structs.replace(one, policy=re.sub(r"explore = [\d.]+", "explore = 0.0", one.policy))


def test_the_table_is_the_same_for_any_number_of_processes() -> None:
    alone = run(CONSUMER, 5, ENTRANTS[1:], 120, here)
    assert run(CONSUMER, 5, ENTRANTS[1:], 120, Local(2)) == alone
    assert run(CONSUMER, 6, ENTRANTS[1:], 120, here) != alone


def test_the_figures_add_up() -> None:
    told: list[int] = []
    result = run(CONSUMER, 5, ENTRANTS, 150, here, told.append)
    assert sum(told) == 150
    by_name = {s.policy: s for s in result.summaries}
    assert set(by_name) == {e.name for e in ENTRANTS}
    assert [s.of_best.value for s in result.summaries] == sorted(
        (s.of_best.value for s in result.summaries), reverse=True
    )
    for name, s in by_name.items():
        mine = result.rows[name]
        assert [r.number for r in mine] == list(range(150))
        assert s.net.value == pytest.approx(sum(r.net for r in mine) / 150)
        assert s.of_best.value == pytest.approx(s.net.value / result.best)
        assert s.net.low <= s.net.value <= s.net.high
        assert sum(c for c, _, _ in s.by_cause.values()) == 150
        assert s.by_retry + s.by_customer == pytest.approx(s.recovered.value)
    assert by_name["default"].against is None
    against = by_name["nothing"].against
    assert against is not None
    assert against.value == pytest.approx(by_name["nothing"].net.value - by_name["default"].net.value)
    assert against.high < 0
    assert by_name["woo_unbound"].breaches > 0 == by_name["default"].breaches
    assert by_name["nothing"].messages == 0


def test_a_paired_difference_is_surer_than_two_intervals() -> None:
    result = run(CONSUMER, 5, [ENTRANTS[1], entrant("stripe_smart")], 200, here)
    one, other = result.summaries
    against = one.against or other.against
    assert against is not None
    assert against.high - against.low < one.net.high - one.net.low


def test_cases_are_played_through_the_house_as_in_memory() -> None:
    agree(10)


@pytest.mark.slow
def test_hundreds_of_cases_are_played_through_the_house_as_in_memory() -> None:
    agree(140)


def agree(cases: int) -> None:
    """Every case has the same end, tries, messages, cost and days in the house as in memory."""
    own = write_model(msgspec.structs.replace(prior(), name="own", memory=0.8))
    learned = msgspec.structs.replace(quiet("default"), name="default+model", model=own)
    entrants = [quiet("default"), learned, quiet("stripe_357")]
    memory, house = run(CONSUMER, 1, entrants, cases, here), run(CONSUMER, 1, entrants, cases, InTheHouse())
    for one in entrants:
        assert house.rows[one.name] == memory.rows[one.name]


def test_a_random_log_is_finished_drawn_with_known_odds_and_of_other_customers() -> None:
    out = io.BytesIO()
    assert write_log(CONSUMER, 1, 120, out) == 120
    views = [msgspec.json.decode(line, type=CaseView) for line in out.getvalue().splitlines()]
    played = {f"cus_{CONSUMER.name}_1_play_{n:05}" for n in range(120)}
    states: dict[str, int] = defaultdict(int)
    for view in views:
        assert view.outcome is not None
        states[view.outcome.state] += 1
        assert view.customer.id not in played
        tries = [a for a in view.attempts if a.trigger is Trigger.RECOUP]
        assert all(a.propensity is not None and 0 < a.propensity <= 1 for a in tries)
        joined = {d.attempt_id: d for d in view.decisions if d.attempt_id}
        assert set(joined) == {a.id for a in tries}
        assert all(joined[a.id].at == a.at and joined[a.id].decided_at <= a.at for a in tries)
    assert min(states[s] for s in ("recovered", "lost")) > 20
    again = io.BytesIO()
    write_log(CONSUMER, 1, 120, again)
    assert again.getvalue() == out.getvalue()


def test_a_bootstrap_covers_as_often_as_it_says() -> None:
    """An interval of a mean of known spread has the width it should have."""
    rows = [
        tally.Row(number=n, cause="funds", amount=100, state="recovered" if n % 2 else "lost", by=None, tries=0,
                  messages=0, breaches=0, fees=0, said=0, days=None, kept=100.0 if n % 2 else 0.0)
        for n in range(400)
    ]  # fmt: skip
    s = tally.summarise("x", rows, [100.0] * 400, tally.resamples(400, 1))
    assert s.net.value == 50
    assert s.net.high - s.net.low == pytest.approx(2 * 1.96 * 50 / 20, rel=0.15)


def test_a_handful_of_cases_makes_no_wild_figures() -> None:
    for s in run(CONSUMER, 1, ENTRANTS, 3, here).summaries:
        assert -5 < s.of_best.low <= s.of_best.value <= s.of_best.high < 5


def test_a_name_that_is_nothing_is_refused() -> None:
    with pytest.raises(NoSuchPolicy, match="recoup simulate --list"):
        entrant("no-such-thing")
