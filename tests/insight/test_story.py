"""The story of a case: what each fact says, what is merged, what comes next."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from recoup.domain import facts as f
from recoup.domain.case import TRANSITIONS
from recoup.domain.decision import Decision, RunnerUp
from recoup.domain.fold import fold
from recoup.domain.view import Attempt, Customer, Debt, Method, Result, Trigger
from recoup.insight import words
from recoup.insight.story import _TELL, Line, headline, story

T0 = datetime(2026, 3, 2, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)
CARD = Method(id="pm_1", network="visa", funding="debit", last4="4242", country="DE")


def at(hours: float, **more: Any) -> dict[str, Any]:
    return {"at": T0 + HOUR * hours, "actor": "engine", **more}


def opened() -> f.Opened:
    refused = Attempt(
        id="a_1", at=T0 - HOUR, trigger=Trigger.RENEWAL, amount_minor=4900, result=Result.DECLINED, method_id="pm_1",
        psp="stripe", code="insufficient_funds", network_code="51",
    )  # fmt: skip
    return f.Opened(
        **at(0), case_id="c_1", debt=Debt(id="in_1", amount_minor=4900, currency="EUR", subscription_id="s_1"),
        customer=Customer(id="cus_1", timezone="Europe/Berlin"), methods=(CARD,), attempts=(refused,),
        policy="default@1", window_ends_at=T0 + timedelta(days=28),
    )  # fmt: skip


def charge(hours: float, **more: Any) -> Decision:
    return Decision(
        case_id="c_1", move="charge", at=T0 + HOUR * hours, method_id="pm_1", amount_minor=4900,
        because=("retry 1 of 3 in the schedule, P3D after the failure",), policy="default@1", **more,
    )  # fmt: skip


def started(hours: float, **more: Any) -> f.AttemptStarted:
    return f.AttemptStarted(
        **at(hours), attempt_id="at_1", method_id="pm_1", amount_minor=4900, trigger=Trigger.RECOUP, psp="generic",
        decision=charge(hours, **more),
    )  # fmt: skip


def told(*facts: f.Fact) -> list[Line]:
    life = [opened(), *facts]
    return story(fold(life, "m_1"), life)


def test_the_first_refusal_is_told_with_category_codes_and_method() -> None:
    first, second, *_ = told()
    assert first.text == "Renewal of €49.00 declined: insufficient funds"
    assert (first.tone, first.at) == ("bad", T0 - HOUR)
    assert "Visa debit ···· 4242" in first.why
    assert "51" in first.why
    assert second.text == "Case opened: €49.00 is due"


def test_a_decision_says_why_what_else_was_weighed_and_which_rule_bound() -> None:
    other = RunnerUp(
        move="ask", at=T0 + HOUR * 80, value=190, because="message 'soft_notice', PT4H after the failure"
    )
    d = charge(72, runners_up=(other,), rules=("VISA-CAT2",), skipped=("retry P1D",), propensity=0.9)
    line = told(f.Planned(**at(0), decision=d))[2]
    assert line.text == "Decided: charge €49.00 from Visa debit ···· 4242 on Thu 5 Mar, 09:00"
    assert "retry 1 of 3 in the schedule, 3 days after the failure" in line.why
    assert (
        "runner-up: write to the customer on Thu 5 Mar, 17:00, worth €1.90 (message 'soft_notice', 4 h"
        in line.why
    )
    assert "bound by VISA-CAT2" in line.why
    assert "left out: retry 24 h" in line.why
    assert "drawn with probability 0.9" in line.why
    assert line.why.endswith("schedule, default@1")


def test_a_quick_answer_takes_the_place_of_the_line_that_began_the_attempt() -> None:
    declined = f.AttemptDeclined(**at(72), attempt_id="at_1", code="do_not_honor", network_code="05")
    lines = told(f.Planned(**at(0), decision=charge(72)), started(72), declined)
    assert [x.kind for x in lines].count("attempt_started") == 0
    assert lines[3].text == "Retry declined: refused without a reason"
    assert "retry 1 of 3" not in lines[3].why  # said when it was decided


def test_a_slow_answer_stands_by_itself_with_how_long_it_took() -> None:
    lines = told(started(72), f.AttemptPaid(**at(74), attempt_id="at_1", ref="r_9"))
    assert [x.kind for x in lines[2:]] == ["attempt_started", "attempt_paid"]
    assert lines[-1].text == "Retry paid: €49.00 came in"
    assert lines[-1].why == "reference r_9 · answered after 2 h"


def test_however_often_the_provider_was_asked_it_is_one_line() -> None:
    lost = [f.AttemptUnknown(**at(72 + n / 60), attempt_id="at_1", why="connection reset") for n in range(5)]
    lines = told(started(72), *lost)
    unknown = [x for x in lines if x.kind == "attempt_unknown"]
    assert len(unknown) == 1
    assert unknown[0].why == "connection reset · asked 5 times"
    assert lines[-1].text.startswith("Next: the provider is asked what became of the payment")


def test_a_message_is_one_line_that_moves_to_when_it_left() -> None:
    ask = Decision(
        case_id="c_1", move="ask", at=T0, step="soft_notice", channel="email", because=("now",), policy="p@1"
    )
    queued = f.MessageQueued(
        **at(0), message_id="c_1:soft_notice", step="soft_notice", channel="email", decision=ask
    )
    moves = [
        f.MessageMoved(**at(10 + n), message_id="c_1:soft_notice", status=s)
        for n, s in enumerate(("sent", "opened"))
    ]
    noted = f.Noted(**at(5, actor="staff:anna"), text="rang them")
    lines = told(queued, noted, *moves)
    assert [x.text for x in lines[2:4]] == ["Note by anna: rang them", "E-mail “soft notice”: sent, opened"]
    assert lines[3].at == T0 + HOUR * 10
    assert lines[3].why.startswith("queued Mon 2 Mar, 09:00")
    assert lines[3].ref == "c_1:soft_notice"


def test_the_last_line_says_what_comes_next_and_is_missing_where_nothing_does() -> None:
    planned = f.Planned(**at(0), decision=charge(72))
    assert told(planned)[-1].text == "Next: charge €49.00 from Visa debit ···· 4242 on Thu 5 Mar, 09:00"
    held = told(f.HandedOver(**at(1), queue="vulnerable", because=("payer deceased",)))
    assert held[-1].text == "Held: with a person"
    assert "handle with care" in held[-1].why
    over = told(f.PaidElsewhere(**at(1), by="elsewhere"))
    assert over[-1].text == "Settled: outside Recoup"


def test_the_same_plan_twice_is_one_line() -> None:
    planned = f.Planned(**at(0), decision=charge(72))
    assert [x.kind for x in told(planned, planned)].count("planned") == 1


def test_every_fact_that_can_happen_can_be_told() -> None:
    assert {kind for _, kind in TRANSITIONS} | {f.Opened} <= set(_TELL)


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ([], "Anna owes €49.00"),
        ([f.Planned(**at(0), decision=charge(72))], "Anna owes €49.00; next try Thu 5 Mar, 09:00"),
        ([started(72)], "€49.00 from Anna is being charged now"),
        ([started(72), f.AttemptPaid(**at(72), attempt_id="at_1")], "Anna paid €49.00, by a retry"),
        ([f.Held(**at(1), reason="holiday")], "Anna owes €49.00; held: holiday"),
        ([f.Cancelled(**at(1))], "Anna left; €49.00 is no longer asked for"),
    ],
)
def test_the_headline_carries_the_outcome(facts: list[f.Fact], sentence: str) -> None:
    assert headline(fold([opened(), *facts], "m_1"), "Anna", where="Europe/Berlin") == sentence


def test_reasons_are_said_on_local_clocks_and_without_codes_for_spans() -> None:
    said = words.prose("moved on by PT26H30M: not before 2026-03-03T07:00:00Z", "Europe/Berlin", beside=T0)
    assert said == "moved on by 26 h: not before Tue 3 Mar, 08:00"
    assert words.prose("SEPA Policy P1 stays", "UTC") == "SEPA Policy P1 stays"


def test_one_instant_is_told_on_the_clocks_of_each_zone() -> None:
    told_on = [words.moment(T0, where, beside=T0) for where in ("UTC", "Europe/Berlin", "Asia/Tokyo", "UTC")]
    assert [x[-5:] for x in told_on] == ["08:00", "09:00", "17:00", "08:00"]
