"""Hidden lives: the same case has the same life whoever asks, and lives that make sense."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recoup.data import rows
from recoup.domain.decline import understand
from recoup.domain.view import Result
from recoup.lab.lives import Failure, failure
from recoup.lab.world import load
from recoup.psp.sandbox_cards import BEHAVIOURS
from recoup.psp.sandbox_life import CODES, Cause, Life

EUROPE, CONSUMER = load("europe"), load("consumer")
CASES = [failure(w, 7, n) for w in (EUROPE, CONSUMER) for n in range(400)]
LIVES = [f.life for f in CASES]
HOUR = timedelta(hours=1)


def lives(cause: Cause) -> list[Life]:
    return [life for life in LIVES if life.cause == cause]


def away(life: Life, at: datetime) -> bool:
    """Whether the issuer cannot be reached, or money is short besides the cause."""
    return any(a <= at < b for a, b in life.outages) or (life.hand_to_mouth and not life.has_money(at))


def days(life: Life, upto: int, hour: int = 11) -> list[datetime]:
    return [life.began_at.replace(hour=hour) + timedelta(days=d) for d in range(1, upto + 1)]


def test_the_same_case_has_the_same_life() -> None:
    assert failure(EUROPE, 7, 3) == CASES[3]
    assert failure(EUROPE, 8, 3) != CASES[3]
    assert failure(EUROPE, 7, 3, "log").life != CASES[3].life
    decoded = msgspec.json.decode(msgspec.json.encode(LIVES[7]), type=Life)
    assert decoded == LIVES[7]
    at = LIVES[7].began_at + timedelta(days=3)
    assert decoded.declines(at) == LIVES[7].declines(at)


def test_every_case_begins_with_a_refusal_that_its_life_explains() -> None:
    for f in CASES:
        refused = f.life.declines(f.at)
        first = f.view.attempts[0]
        assert refused is not None, f.life
        assert (first.result, first.code) == (Result.DECLINED, refused.code)
        assert f.view.window_ends_at is not None
        assert all(a.at < f.at for past in f.view.history for a in past.attempts)


def test_causes_come_as_often_as_the_world_says() -> None:
    found = Counter(f.life.cause for f in CASES[:400])
    assert abs(found["sca"] / 400 - EUROPE.cause["sca"]) < 0.07
    # Credit cards lack money less often, which leaves more to the other causes.
    assert 0.2 < found["funds"] / 400 < 0.4
    assert set(found) == set(EUROPE.cause)


def test_want_of_money_ends_on_pay_day_and_comes_back() -> None:
    paid = [life for life in lives("funds") if life.pay_days]
    assert len(paid) > 100
    assert 0 < len(lives("funds")) - len(paid) < 0.25 * len(paid)  # to some no money comes
    for life in paid:
        coming = life.next_pay_day(life.began_at)
        assert coming is not None
        assert coming - life.began_at < timedelta(days=33)
        assert not life.has_money(life.began_at)
        assert life.has_money(coming)
        assert not life.has_money(coming - HOUR)
        if not away(life, coming + HOUR):
            assert life.declines(coming + HOUR) is None


def test_mastercards_advice_for_want_of_money_leads_to_pay_day() -> None:
    hours = {"24": 1, "25": 24, "26": 48, "27": 96, "28": 144, "29": 192, "30": 240}
    told = [
        (life, no.advice_code)
        for life in lives("funds")
        if (no := life.declines(life.began_at)) and no.advice_code
    ]
    assert len(told) > 10
    for life, advice in told:
        assert life.network == "mastercard"
        coming = life.next_pay_day(life.began_at)
        assert coming is not None
        assert life.began_at + timedelta(hours=hours[advice]) >= coming or advice == "30"


def test_outages_and_limits_pass_and_stay_passed() -> None:
    for life in lives("technical") + lives("limit"):
        assert life.clears_at is not None
        assert life.declines(life.clears_at - timedelta(seconds=1)) is not None
        for at in (life.clears_at, life.clears_at + timedelta(days=20)):
            assert (life.declines(at) is None) or away(life, at)


def test_an_issuers_outage_is_there_for_all_its_customers() -> None:
    begun = Counter(begins for life in LIVES[:400] for begins, _ in life.outages)
    assert begun.most_common(1)[0][1] > 20
    for life in LIVES:
        for begins, ends in life.outages:
            middle = begins + (ends - begins) / 2
            refused = life.declines(middle, fresh=True)
            assert refused is not None
            assert (refused.code, refused.network_code) in (
                ("issuer_not_available", "91"),
                ("do_not_honor", "05"),
            )


@pytest.mark.parametrize("cause", ["expired", "invalid", "dead", "revoked"])
def test_what_time_does_not_cure_time_does_not_cure(cause: Cause) -> None:
    assert lives(cause)
    for life in lives(cause):
        assert all(life.declines(at) is not None for at in days(life, 60))


def test_authentication_is_the_customers_to_give() -> None:
    some = lives("sca")
    assert len(some) > 40
    tried = [(life, at) for life in some for at in days(life, 20) if not away(life, at)]
    alone = sum(life.declines(at) is None for life, at in tried) / len(tried)
    assert 0.01 < alone < 0.12
    assert all(life.declines(at, on_session=True) is None for life, at in tried)


def test_undecided_issuers_sometimes_say_yes_and_tire_of_being_asked() -> None:
    risky = lives("risk")
    fresh = sum(life.declines(at) is None for life in risky for at in days(life, 20))
    tired = sum(life.declines(at, earlier=6) is None for life in risky for at in days(life, 20))
    assert 0.05 < fresh / (20 * len(risky)) < 0.35
    assert tired < fresh / 2


def test_asking_again_within_the_hours_changes_nothing() -> None:
    for life in lives("risk"):
        at = life.began_at.replace(hour=12, minute=0) + timedelta(days=4)
        if not any(away(life, at + timedelta(minutes=m)) for m in (0, 119)):
            assert len({life.declines(at + timedelta(minutes=m)) for m in (0, 5, 60, 119)}) == 1


@given(st.integers(0, 799), st.integers(1, 6), st.integers(0, 60 * 24 * 60))
@settings(max_examples=200)
def test_customers_act_after_the_message_and_always_the_same(n: int, message_no: int, minutes: int) -> None:
    at = LIVES[n].began_at + timedelta(minutes=minutes)
    acts = LIVES[n].acts_on(message_no, at)
    assert acts == LIVES[n].acts_on(message_no, at)
    assert acts is None or timedelta(minutes=6) <= acts - at < timedelta(days=30)
    if LIVES[n].cause == "revoked":
        assert acts is None


def test_some_customers_act_fewer_each_time_and_some_leave() -> None:
    acted = [
        sum(life.acts_on(k, life.began_at.replace(hour=15)) is not None for life in LIVES)
        for k in (1, 2, 3, 4, 5)
    ]
    assert 0.03 < acted[0] / len(LIVES) < 0.12  # clicks on the day are 11 %, half of them finish
    assert acted[4] < acted[0] * 0.8
    noon = LIVES[0].began_at.replace(hour=12)
    left = [sum(life.leaves_after([noon] * n, 3) for life in LIVES) / len(LIVES) for n in (1, 4, 200)]
    assert left[0] < 0.015
    assert left[0] < left[1] < 0.08
    assert left[2] == 1.0
    assert {life.cause for life in LIVES if life.updater_at} == {"expired", "invalid"}


def test_who_names_a_day_has_no_money_and_pays_on_it() -> None:
    named = [(life, day) for life in LIVES if (day := life.pays_on(life.began_at + HOUR)) is not None]
    assert len(named) > 10
    for life, day in named:
        assert life.cause == "funds"
        assert life.has_money(day)


def test_records_of_earlier_renewals_follow_the_same_pay_days() -> None:
    failed = [
        (f, past) for f in CASES for past in f.view.history if past.attempts[0].result is Result.DECLINED
    ]
    assert len(failed) > 100
    for f, past in failed:
        for attempt in past.attempts:
            assert f.life.has_money(attempt.at) == (attempt.result is Result.PAID)


def test_every_code_shown_is_one_the_trade_knows() -> None:
    known = {(row["source_system"], row["code"]) for row in rows("decline_codes")}
    shown = {pair for pairs in CODES.values() for pair in pairs}
    shown |= {(no.code or "", no.network_code or "") for no in BEHAVIOURS.values() if no}
    assert [code for code, _ in shown if ("stripe", code) not in known] == []
    assert [network for _, network in shown if ("iso8583", network) not in known] == []
    advice = {no.advice_code for life in LIVES for at in days(life, 9) if (no := life.declines(at))} - {None}
    assert {("mastercard_mac", code) for code in advice} <= known
    assert advice > {"01", "03", "21"}


FITS: dict[Cause, set[str]] = {
    "funds": {"insufficient_funds", "generic_soft"},
    "risk": {"generic_soft", "fraud_suspected"},
    "technical": {"technical", "generic_soft"},
    "limit": {"velocity_or_limit", "generic_soft"},
    "expired": {"expired_card"},
    "invalid": {"invalid_details"},
    "dead": {"lost_or_stolen", "not_permitted"},
    "sca": {"authentication_required", "velocity_or_limit"},
    "revoked": {"revoked_authorisation"},
}


def test_a_cause_is_understood_as_what_it_is_or_as_a_vague_no() -> None:
    for f in CASES:
        understood = understand(f.view.attempts[0], f.view.methods[0])
        assert understood.category in FITS[f.life.cause], f.life


def test_a_failure_is_a_case_view_that_others_can_read() -> None:
    for f in CASES[:50]:
        assert isinstance(f, Failure)
        assert msgspec.json.decode(msgspec.json.encode(f.view), type=type(f.view)) == f.view
        assert f.at.tzinfo is UTC
