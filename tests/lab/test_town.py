"""The town: the same lives for everybody, a bound nobody passes, and rules that nobody lawful breaks."""

from datetime import timedelta

import msgspec
import pytest

from recoup.domain.view import Attempt, Result, Trigger
from recoup.engine.policies import parse, text_of
from recoup.lab import clairvoyant
from recoup.lab.deciders import ByPolicy, Decider, Unbound
from recoup.lab.lives import failure
from recoup.lab.networks import breaches, breaks
from recoup.lab.rivals import NOT_PLAYED, rivals
from recoup.lab.tally import row
from recoup.lab.town import play
from recoup.lab.world import load

WORLDS = [load(name) for name in ("consumer", "hard_times", "enterprise")]
CASES = [(w, failure(w, 3, n)) for w in WORLDS for n in range(40)]


def ours(name: str) -> Decider:
    text, source = text_of(name)
    return ByPolicy(parse(text, source=source))


def test_nobody_keeps_more_than_a_clairvoyant() -> None:
    deciders = [ours("default"), *(r.decider for r in rivals().values())]
    for w, f in CASES[::4]:
        best = clairvoyant.best(w, f)
        for d in deciders:
            one = row(w, 0, f, play(f, d, until=f.at + w.window))
            assert one.net <= best + 1e-6, (f.view.case_id, f.life.cause, one, best)


def test_network_rules_bind_ours_and_every_lawful_rival() -> None:
    lawful = {n: r.decider for n, r in rivals().items() if r.lawful} | {"default": ours("default")}
    for name, decider in lawful.items():
        for w, f in CASES[:80:2]:
            assert breaches(play(f, decider, until=f.at + w.window).view) == (), name


def test_a_schedule_without_rules_is_seen_breaking_them() -> None:
    daily = Unbound("daily", tuple(24.0 * n for n in range(1, 28)))
    broken = [b for w, f in CASES[:80] for b in breaches(play(f, daily, until=f.at + w.window).view)]
    assert {"VISA-CAT1", "VISA-CAT2", "MC-TPE-MAC"} <= set(broken)
    assert not rivals()["woo_unbound"].lawful


@pytest.mark.parametrize(("refused", "broken"), [(15, None), (16, "VISA-CAT2")])
def test_visa_is_tried_fifteen_times_after_the_first_refusal(refused: int, broken: str | None) -> None:
    f = next(f for _, f in CASES if f.view.methods[0].network == "visa")
    first = msgspec.structs.replace(f.view.attempts[0], network_code="51", advice_code=None)
    tries = tuple(
        msgspec.structs.replace(first, id=f"a_{n}", at=f.at + timedelta(hours=n)) for n in range(refused)
    )
    view = msgspec.structs.replace(f.view, attempts=tries, history=())
    at = f.at + timedelta(days=10)
    assert breaks(view, f.view.methods[0], at) == broken
    assert breaks(view, f.view.methods[0], f.at + timedelta(days=60)) is None


def test_the_answer_at_an_instant_does_not_depend_on_who_asks() -> None:
    """Two policies whose first try falls on the same instant hear the same."""
    seen: dict[tuple[str, object], Result] = {}
    for decider in (rivals()["daily_3"].decider, rivals()["lago"].decider, rivals()["killbill_doc"].decider):
        for w, f in CASES:
            tries: list[Attempt] = [
                a
                for a in play(f, decider, until=f.at + w.window).view.attempts
                if a.trigger is Trigger.RECOUP
            ]
            if tries:
                key = (f.view.case_id, tries[0].at)
                assert seen.setdefault(key, tries[0].result) is tries[0].result
    assert len(seen) > 50


def test_every_baseline_says_where_it_comes_from() -> None:
    assert len(rivals()) >= 35
    for name, rival in rivals().items():
        assert rival.source.startswith("https://") or name == "nothing", name
        assert rival.title
    assert all(NOT_PLAYED.values())
