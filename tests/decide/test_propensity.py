"""The logged propensity of a decision is the part of all draws that end in it: whatever moved a drawn instant, or overtook it."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec
import pytest

from recoup.decide.decision import decide
from recoup.domain.decision import Decision
from recoup.domain.policy import Policy
from recoup.domain.view import Attempt, CaseView, Message, Method, Trigger
from recoup.engine.policies import parse, text_of
from tests.decide.cards import START, card, day, debit, refused, view

DRAWS = 240
Key = tuple[str, datetime | None, str | None, datetime | None]


def policy(explore: float = 0.4, **timing: object) -> Policy:
    text, source = text_of("default")
    base = parse(text, source=source)
    return msgspec.structs.replace(
        base, timing=msgspec.structs.replace(base.timing, explore=explore, **timing)
    )


def telling(base: Policy) -> Policy:
    return msgspec.structs.replace(base, notices=msgspec.structs.replace(base.notices, pre_debit="recoup"))


def every_draw(seen: CaseView, rules: Policy) -> list[Decision]:
    return [decide(seen, rules, policy_ref="p@1", now=seen.now, draw=(k + 0.5) / DRAWS) for k in range(DRAWS)]


def what(d: Decision) -> Key:
    return d.move, d.at, d.step, d.debit_at


def told_right(found: Sequence[Decision]) -> None:
    times = Counter(what(d) for d in found)
    for d in found:
        assert d.propensity == pytest.approx(times[what(d)] / DRAWS, abs=1e-6), what(d)


def failed(at: datetime = START, **more: object) -> Attempt:
    return refused(at, trigger=Trigger.RENEWAL, psp="generic", **more)


def on_friday(method: Method) -> CaseView:
    """Refused on a Monday, and last on the Friday of the next week."""
    return view([failed(), refused(day(11))], method)


@pytest.mark.parametrize("method", [card(funding="debit"), debit("sepa_debit"), debit("bacs_debit")])
@pytest.mark.parametrize("hours", ["06:00-22:00", "09:00-17:00"])
def test_of_instants_moved_off_a_weekend(method: Method, hours: str) -> None:
    rules = policy(charge_hours=hours, avoid=("weekend", "bank_holiday"))
    drawn = False
    for seen in (view([failed()], method), on_friday(method)):
        found = every_draw(seen, rules)
        told_right(found)
        drawn = drawn or len({what(d) for d in found}) > 1
        assert all(d.at is not None and d.at.weekday() < 5 for d in found if d.move == "charge")
    assert drawn


def test_of_a_message_that_leaves_before_the_drawn_instant() -> None:
    """Only the later instants are drawn behind the message: then the message is what was drawn."""
    either = False
    for days in ((1, 8, 9, 15), (1, 8, 9, 15, 16), (1, 8, 9, 15, 16, 18)):
        for code in ("05", "51"):
            tries = [failed(network_code=code), *(refused(day(n), network_code=code) for n in days)]
            found = every_draw(view(tries, card(funding="debit"), interval="month"), policy())
            told_right(found)
            either = either or {d.move for d in found} == {"charge", "ask"}
    assert either


def test_of_a_notice_that_tells_of_the_drawn_day_and_of_the_debit_that_was_told() -> None:
    seen = view([failed()], debit("sepa_debit"))
    rules = telling(policy(sepa_notice=timedelta(days=5)))
    found = every_draw(seen, rules)
    assert {d.step for d in found} == {"pre_debit_notice"}
    assert len({d.debit_at for d in found}) > 1
    told_right(found)
    one = found[0]
    notice = Message(
        at=seen.now, channel="email", step="pre_debit_notice", status="delivered", debit_at=one.debit_at,
        debit_minor=seen.debt.amount_minor,
    )  # fmt: skip
    again = every_draw(msgspec.structs.replace(seen, messages=(notice,)), rules)
    told_right(again)
    charges = {d.at for d in again if d.move == "charge"}
    assert charges <= {one.debit_at}
