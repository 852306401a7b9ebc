"""A policy that would charge far too often meets the guard: it stops at the cap and says by which rule."""

from datetime import timedelta

import msgspec
import pytest

from recoup.decide.decision import charge_now, decide
from recoup.domain.decision import Decision
from recoup.domain.policy import Policy, Rung, Timing
from recoup.domain.view import CaseView, Method, Trigger
from tests.decide.cards import card, day, debit, refused, view

DAILY = [timedelta(hours=28.8 * i) for i in range(1, 26)]
"""25 retries in 30 days."""
MINUTELY = [timedelta(minutes=30 * i) for i in range(1, 61)]


def greedy(rungs: list[timedelta], window: timedelta) -> Policy:
    return Policy(
        name="greedy",
        window=window,
        timing=Timing(mode="schedule", attempts=60),
        retry=tuple(Rung(after=r) for r in rungs),
    )


def drive(network: str, policy: Policy, code: str = "51") -> tuple[CaseView, list[Decision]]:
    """Every decision of the case until it ends, each charge refused at its own instant."""
    seen = view([refused(day(0), trigger=Trigger.RENEWAL, network_code=code)], card(network), now=day(0))
    made: list[Decision] = []
    for _ in range(200):
        decision = decide(seen, policy, policy_ref="greedy@1", now=seen.now)
        made.append(decision)
        assert decision.at is not None
        if decision.move != "charge":
            return seen, made
        tried = refused(decision.at, network_code=code)
        seen = msgspec.structs.replace(seen, now=decision.at, attempts=(*seen.attempts, tried))
    raise AssertionError("the case never ends")


@pytest.mark.parametrize(
    ("network", "code", "rungs", "span", "most", "rule_id"),
    [
        ("visa", "51", DAILY, 30 * 24, 15, "VISA-CAT2"),
        ("visa", "05", DAILY, 30 * 24, 15, "VISA-CAT4"),
        ("elo", "51", DAILY, 30 * 24, 15, "ELO-RETRY"),
        ("amex", "116", DAILY, 30 * 24, 8, "DEFAULT-UNKNOWN-NETWORK"),
    ],
)
def test_the_guard_stops_after_so_many_retries_in_thirty_days(
    network: str, code: str, rungs: list[timedelta], span: int, most: int, rule_id: str
) -> None:
    seen, made = drive(network, greedy(rungs, timedelta(days=31)), code)
    retries = [a.at for a in seen.attempts[1:]]
    assert len([t for t in retries if t <= retries[0] + timedelta(hours=span)]) == most
    assert made[-1].rules == (rule_id,)
    assert any(f"{most} of {most} " in line and rule_id in line for line in made[-1].because)


def test_the_guard_stops_mastercard_after_ten_declines_in_a_day() -> None:
    seen, made = drive("mastercard", greedy(MINUTELY, timedelta(days=3)))
    first = seen.attempts[0].at
    in_a_day = [a for a in seen.attempts if a.at < first + timedelta(hours=24)]
    assert len(in_a_day) == 10
    moved = next(d for d in made if d.rules)
    assert moved.rules == ("MC-TPE-24H",)
    assert moved.at == first + timedelta(hours=24)
    assert any("10 of 10 Mastercard declines used in 24 hours (MC-TPE-24H)" in line for line in moved.because)


def test_nobody_charges_the_dead_on_whatever_method() -> None:
    """Told once, it stands: whatever was answered since, on a new account too, for the engine and for people."""
    account, new = debit("ach_debit"), Method(id="pm_2", network="visa", fingerprint="f_2", added_at=day(2))
    told = [refused(day(0), network_code="R15"), refused(day(1), network_code="R01", trigger=Trigger.NATIVE)]
    seen = view(told, account, new, now=day(3))
    for policy in (greedy(DAILY, timedelta(days=31)), Policy(name="learned")):
        decision = decide(seen, policy, policy_ref="p@1", now=seen.now)
        assert (decision.move, decision.queue) == ("hand_over", "vulnerable")
        by_hand = charge_now(seen, policy, policy_ref="p@1", now=seen.now, method_id="pm_2")
        assert (by_hand.move, by_hand.by) == ("wait", "hand_over")
        on_page = charge_now(seen, policy, policy_ref="p@1", now=seen.now, method_id="pm_2", on_session=True)
        assert on_page.move == "charge"  # somebody else pays, of their own will


def test_a_stolen_card_is_never_charged() -> None:
    seen, made = drive("visa", greedy(DAILY, timedelta(days=31)), "43")
    assert len(seen.attempts) == 1
    assert made[0].move == "give_up"
    assert made[0].rules == ("VISA-CAT1",)
    assert made[0].awaits_customer
