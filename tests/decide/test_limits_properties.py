"""Whatever happened and whoever asks: a charge at the given instant breaks no cap, by another way of counting."""

import random
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from recoup.decide.limits import Counted, Verdict
from recoup.domain.view import Attempt, CaseView, Method, Result, Trigger
from tests.decide.cards import START, ask, card, counted, day, refused, view

HOUR = timedelta(hours=1)
MONTH = timedelta(days=30)
FAR = timedelta(days=500)
NEVER = {"visa": {"43", "57", "R1"}, "mastercard": {"41"}, "amex": {"200"}}
ONLY_THE_PAYER = {"visa": {"1A", "54"}, "mastercard": {"54"}, "amex": {"130", "101"}}
BY_TIME = {"visa": {"51", "05", "91"}, "mastercard": {"51", "05"}, "amex": {"116", "100"}}
WAITS = {"24": HOUR, "25": 24 * HOUR, "26": 48 * HOUR, "27": 96 * HOUR, "30": 240 * HOUR, "02": 72 * HOUR}
NETWORKS = ("visa", "mastercard", "amex")


class Seen(NamedTuple):
    """One try as the oracle knows it."""

    at: datetime
    result: Result
    code: str | None
    advice: str | None
    trigger: Trigger
    mine: bool


class Story(NamedTuple):
    network: str
    country: str
    tries: list[Seen]
    asked_at: datetime


def codes(network: str, *, mostly: bool) -> st.SearchStrategy[str]:
    soft = st.sampled_from(sorted(BY_TIME[network]))
    if mostly:
        return soft
    return st.one_of(soft, st.sampled_from(sorted(NEVER[network] | ONLY_THE_PAYER[network])))


@st.composite
def stories(draw: st.DrawFn, *, mostly: bool = True) -> Story:
    network = draw(st.sampled_from(NETWORKS))
    country = draw(st.sampled_from(["US", "BR", "DE"]))
    crowded = draw(st.sampled_from([0.05, 2.0, 20.0]))
    gaps = draw(st.lists(st.floats(0.001, 1.0), min_size=1, max_size=45))
    at, tries = START, []
    for gap in gaps:
        at += timedelta(hours=gap * crowded * 2)
        results = [Result.DECLINED] * 8 + [Result.UNKNOWN, Result.PENDING] + [Result.PAID] * (not mostly)
        result = draw(st.sampled_from(results))
        declined = result is Result.DECLINED
        advice = st.sampled_from([None, None, *WAITS, *([] if mostly else ["03", "21"])])
        tries.append(
            Seen(
                at,
                result,
                draw(codes(network, mostly=mostly)) if declined else None,
                draw(advice) if declined and network == "mastercard" else None,
                draw(st.sampled_from(list(Trigger))),
                draw(st.booleans()),
            )
        )
    after = draw(st.floats(0, 40))
    return Story(network, country, tries, tries[-1].at + timedelta(days=after))


def told(story: Story) -> tuple[CaseView, list[Counted]]:
    """The story as the house gets it: this debt's tries in the view, the others' beside it."""
    mine: list[Attempt] = []
    others: list[Counted] = []
    for t in story.tries:
        codes: dict[str, Any] = {"code": None, "network_code": t.code, "advice_code": t.advice}
        if t.mine:
            mine.append(refused(t.at, result=t.result, trigger=t.trigger, **codes))
        else:
            others.append(counted(t.at, result=t.result, **codes))
    return view(mine, card(story.network, country=story.country), now=story.asked_at), others


def forbidden(story: Story, at: datetime) -> str | None:
    """The oracle: what stands against a charge at `at`, counted try by try, or None."""
    tries = sorted(story.tries, key=lambda t: t.at)
    last_paid = max((i for i, t in enumerate(tries) if t.result is Result.PAID), default=-1)
    for i, t in enumerate(tries[last_paid + 1 :], last_paid + 1):
        if t.code in NEVER[story.network] or t.advice in ("03", "21"):
            return f"never after {t.code} {t.advice}"
        if t.advice in WAITS and at < t.at + WAITS[t.advice]:
            return f"wait of {t.advice}"
        came_back = any(later.trigger is Trigger.CUSTOMER and later.mine for later in tries[i + 1 :])
        wants_details = t.code in {"54", "101"}
        if t.code in ONLY_THE_PAYER[story.network] and (wants_details or (t.mine and not came_back)):
            return f"only the payer after {t.code}"
    return _too_often(story, tries, at)


def _too_often(story: Story, tries: list[Seen], at: datetime) -> str | None:
    if story.network == "mastercard":
        bad = [t.at for t in tries if t.result is not Result.PAID]
        most = 7 if story.country == "BR" else 10
        if sum(at - 24 * HOUR < t for t in bad) >= most:
            return "24 hours"
        return "30 days" if sum(at - MONTH < t for t in bad) >= 35 else None
    if story.network == "amex":
        tries = [t for t in tries if t.mine]
    repeats = 0
    for before, t in pairwise(tries):
        follows = before.result is not Result.PAID and t.at - before.at <= MONTH
        repeats += follows and t.at > at - MONTH
    return "30 days" if repeats >= (15 if story.network == "visa" else 8) else None


def verdict(story: Story, at: datetime) -> Verdict:
    seen, others = told(story)
    return ask(seen, at, others=others, horizon=at + FAR)


@settings(max_examples=250, deadline=None)
@given(stories(), st.lists(st.floats(0, 0.999), max_size=8))
def test_the_answer_is_the_first_instant_that_breaks_nothing(story: Story, shares: list[float]) -> None:
    found = verdict(story, story.asked_at)
    assert found.earliest is not None, found
    assert found.earliest >= story.asked_at
    assert forbidden(story, found.earliest) is None
    earlier = [story.asked_at + (found.earliest - story.asked_at) * s for s in shares]
    if found.earliest > story.asked_at:
        assert found.rules
        earlier += [story.asked_at, found.earliest - timedelta(microseconds=1)]
        for at in earlier:
            assert forbidden(story, at) is not None


@settings(max_examples=250, deadline=None)
@given(stories(mostly=False), st.floats(0, 400))
def test_it_says_never_only_where_it_is_never(story: Story, later: float) -> None:
    found = verdict(story, story.asked_at)
    if found.earliest is None:
        assert found.rules
        assert forbidden(story, story.asked_at + timedelta(days=later)) is not None
    else:
        assert forbidden(story, found.earliest) is None


@settings(max_examples=150, deadline=None)
@given(stories(mostly=False), st.lists(st.floats(0, 60), min_size=1, max_size=4))
def test_asking_at_the_answer_gives_the_answer_and_later_questions_later_answers(
    story: Story, waits: list[float]
) -> None:
    before: datetime | None = None
    for wait in sorted(waits):
        at = story.asked_at + timedelta(days=wait)
        found = verdict(story, at).earliest
        if found is None:
            continue
        assert found >= at
        assert verdict(story, found).earliest == found
        assert before is None or found >= before
        before = found


def _charge(story: Story, at: datetime, dice: random.Random) -> Story:
    code = dice.choice(sorted(BY_TIME[story.network]))
    advice = dice.choice([None, None, None, *WAITS]) if story.network == "mastercard" else None
    trigger = dice.choice(list(Trigger))
    tried = Seen(at, Result.DECLINED, code, advice, trigger, dice.random() < 0.8)
    return story._replace(tries=[*story.tries, tried], asked_at=at)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(NETWORKS), st.sampled_from(["US", "BR"]), st.integers(0, 2**32))
def test_no_policy_breaks_a_cap_in_sixty_days(network: str, country: str, seed: int) -> None:
    """A policy that would charge all the time, some of it for other debts, driven through the rules."""
    dice = random.Random(seed)
    story = Story(
        network,
        country,
        [Seen(START, Result.DECLINED, sorted(BY_TIME[network])[0], None, Trigger.RENEWAL, True)],
        START,
    )
    at = START
    while at < day(60) and len(story.tries) < 60:
        at += timedelta(hours=dice.choice([0.1, 1, 5, 24, 48]))
        found = verdict(story, at).earliest
        if found is None or found > day(60):
            break
        assert forbidden(story, found) is None
        story, at = _charge(story, found, dice), found
    _check_every_window(story)


def _check_every_window(story: Story) -> None:
    """No window of any rule's length, wherever it ends, holds more than the rule allows."""
    times = [t.at for t in story.tries]
    ends = [t + MONTH - timedelta(microseconds=1) for t in times] + times
    for end in ends:
        in_month = sum(end - MONTH < t <= end for t in times)
        in_day = sum(end - 24 * HOUR < t <= end for t in times)
        if story.network == "visa":
            assert in_month <= 15 + 1  # fifteen reattempts and the try that failed first
        elif story.network == "mastercard":
            assert in_month <= 35
            assert in_day <= (7 if story.country == "BR" else 10)


def test_the_oracle_itself_says_no() -> None:
    """So that a broken oracle cannot agree with everything."""
    tries = [Seen(day(i), Result.DECLINED, "51", None, Trigger.RECOUP, True) for i in range(16)]
    full = Story("visa", "US", tries, day(16))
    assert forbidden(full, day(16)) == "30 days"
    assert forbidden(full, day(31)) is None
    assert forbidden(full._replace(network="mastercard", tries=tries[:5]), day(5)) is None
    assert forbidden(full._replace(tries=[tries[0]._replace(code="43")]), day(99)) == "never after 43 None"


def test_a_new_card_is_free_of_all_that() -> None:
    tries = [refused(day(i), network_code="43") for i in range(16)]
    new = Method(id="pm_2", network="visa", fingerprint="f_2")
    assert ask(view(tries, card("visa"), new), day(16), new).earliest == day(16)
