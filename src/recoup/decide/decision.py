"""The one door: limits, then timing, then contact, then the ladder's end. Pure: the same input, the same answer."""

from datetime import datetime, timedelta

import msgspec

from recoup.decide import announce, contact, learned, limits, timing
from recoup.decide.candidate import Candidate
from recoup.decide.chart import Chart
from recoup.decide.outlook import Outlook, foresee, shipped
from recoup.decide.situation import NOTHING_AROUND, Around, Situation, look
from recoup.domain.decision import Decision, RunnerUp
from recoup.domain.decline import Decline, hands_over
from recoup.domain.instants import text
from recoup.domain.money import told
from recoup.domain.policy import Policy
from recoup.domain.view import CaseView, Result

_ORDER = {"charge": 0, "ask": 1, "wait": 2, "give_up": 3}
LOOK_AGAIN = timedelta(days=1)


def decide(
    view: CaseView,
    policy: Policy,
    *,
    policy_ref: str,
    now: datetime,
    draw: float = 0.0,
    around: Around = NOTHING_AROUND,
    chart: Chart | None = None,
) -> Decision:
    """The next best action for `view` at `now`, with its reasons; `at` is never before `now`.

    `policy_ref` is `name@version`; `draw` in [0, 1) is the only dice, so equal input gives equal output. `chart`: the
    merchant's own model where `around` has none; the shipped one speaks otherwise, and all in the mode `learned` only.
    """
    s = look(view, policy.for_case(view), policy_ref=policy_ref, now=now, draw=draw, around=around)
    return _settled(s) or _held(s) or _a_persons_turn(s) or _missed(s) or _best(s, chart)


def confirm(
    view: CaseView,
    policy: Policy,
    plan: Decision,
    *,
    policy_ref: str,
    now: datetime,
    around: Around = NOTHING_AROUND,
) -> Decision | None:
    """The planned charge once more at the moment it is made: the same decision at `now`, or None when it has to be
    decided afresh because a rule, the hours or the method say otherwise now, or the window is over."""
    s = look(view, policy.for_case(view), policy_ref=policy_ref, now=now, draw=0.0, around=around)
    if plan.by == "backup" and s.backup is not None:
        s = timing.instead(s, s.backup)
    if (
        s.method is None
        or s.method.id != plan.method_id
        or _settled(s)
        or _held(s)
        or _below_minimum(s, None)
        or s.over
    ):
        return None
    if announce.needed(s, s.method, plan.at or now) is not None and not announce.has_left(view, plan.at):
        return None
    wish = Candidate(move="charge", at=now, because=plan.because, by=plan.by, skipped=plan.skipped)
    # The notice some rails want was counted when the plan was made; it does not begin anew now.
    sure = timing.lawful(s, wish, announced=True)
    if sure is None or sure.at != now:
        return None
    return msgspec.structs.replace(
        plan,
        at=now,
        rules=sure.rules,
        because=tuple(dict.fromkeys(sure.because)),
        amount_minor=view.debt.amount_minor,
    )


def charge_now(
    view: CaseView,
    policy: Policy,
    *,
    policy_ref: str,
    now: datetime,
    around: Around = NOTHING_AROUND,
    method_id: str | None = None,
    on_session: bool = False,
) -> Decision:
    """What the rules say to a person who wants to charge at once: a charge at `now`, or a wait with the rule that binds.

    The merchant's own schedule and hours do not bind a person; network and scheme rules do, for everybody.
    """
    s = look(view, policy.for_case(view), policy_ref=policy_ref, now=now, draw=0.0, around=around)
    method = view.method(method_id) if method_id is not None else s.method
    if method is None:
        return _decision(
            s, Candidate(move="wait", at=now, because=("there is no payment method to charge",), by="limits")
        )
    dead = None if on_session else _death(s)
    if dead is not None:
        because = (dead.says, "nothing is charged any more unless somebody else pays on the page")
        return _decision(s, Candidate(move="wait", at=now, because=because, by="hand_over"))
    verdict = limits.earliest(
        view, method, now, amount_minor=view.debt.amount_minor, currency=view.debt.currency, others=around.others,
        horizon=max(s.end, now), on_session=on_session, terms=s.policy.timing,
    )  # fmt: skip
    if verdict.earliest != now:
        when = "never on this method" if verdict.earliest is None else f"not before {text(verdict.earliest)}"
        refusal = Candidate(
            move="wait", at=now, because=(when, *verdict.says), by="limits", rules=verdict.rules
        )
        return _decision(s, refusal)
    asked = Candidate(
        move="charge",
        at=now,
        because=("asked for by a person", *verdict.says),
        by="person",
        rules=verdict.rules,
    )
    return msgspec.structs.replace(_decision(s, asked), method_id=method.id)


def _settled(s: Situation) -> Decision | None:
    collected = sum(a.amount_minor for a in s.view.attempts if a.result is Result.PAID)
    for attempt in reversed(s.view.attempts):
        if attempt.result in (Result.UNKNOWN, Result.PENDING):
            why = (
                f"attempt {attempt.id} has no final answer: nothing is charged until the provider has spoken"
            )
            return _decision(s, Candidate(move="reconcile", at=s.now, because=(why,), by="unknown_first"))
        if attempt.result is Result.PAID and collected > s.view.debt.paid_minor:
            return _decision(
                s, Candidate(move="wait", at=max(s.end, s.now), because=("it is paid",), by="settled")
            )
    if s.view.debt.amount_minor == 0:
        why, then = "nothing is due: the amount is 0", max(s.end, s.now + LOOK_AGAIN)
        return _decision(s, Candidate(move="wait", at=then, because=(why,), by="settled"))
    return None


def _held(s: Situation) -> Decision | None:
    hold = s.view.hold
    if hold is None or (hold.until is not None and hold.until <= s.now):
        return None
    until = hold.until or max(s.end, s.now + LOOK_AGAIN)
    return _decision(s, Candidate(move="wait", at=until, because=(f"held: {hold.reason}",), by="hold"))


def _a_persons_turn(s: Situation) -> Decision | None:
    decline = _death(s) or (None if s.fresh else s.decline)
    queue = hands_over(decline) if decline else None
    if queue is None or decline is None:
        return None
    because = (decline.says, f"nothing automatic may happen here: a person decides (queue {queue})")
    return _decision(s, Candidate(move="hand_over", at=s.now, because=because, by="hand_over"), queue=queue)


def _missed(s: Situation) -> Decision | None:
    """Whoever chose a day or gave a new method, and was not charged before the window was over: to charge them by now would
    surprise them, and so would ending what they were about to pay for."""
    if not s.over or s.method is None:
        return None
    if s.view.promised_at is not None:
        done = "the day the customer chose has passed"
    elif s.fresh and s.method.by != "updater":
        done = "the new payment method was not charged"
    else:
        return None
    because = (f"{done}, and the window is over: a person decides whether it is charged or ends",)
    return _decision(s, Candidate(move="hand_over", at=s.now, because=because, by="ending"), queue="ending")


def _death(s: Situation) -> Decline | None:
    """The refusal that says the payer has died: it stands whatever was answered or given since."""
    return next((decline for _, decline in s.refusals if decline.category == "payer_deceased"), None)


def _best(s: Situation, chart: Chart | None) -> Decision:
    outlook = None
    if s.policy.timing.mode == "learned":
        outlook = foresee(s, chart or s.around.chart or shipped(), timing.tries_left(s))
    ask = contact.next_message(s, outlook)
    chosen, found, awaits_customer = _weighed(s, outlook, ask)
    if outlook is not None and _depends_on_draw(s, outlook, chosen):
        chosen = msgspec.structs.replace(chosen, propensity=_likely(s, outlook, ask, chosen))
    others = tuple(
        RunnerUp(move=c.move, at=c.at, method_id=_charged(s, c), because="; ".join(c.because[-1:]))
        for c in found
    )
    refused = timing.refusal(s) if awaits_customer else None
    if refused is not None:
        chosen = msgspec.structs.replace(
            chosen, rules=refused.rules, because=(*chosen.because, *refused.says)
        )
    return _decision(s, chosen, others=others, awaits_customer=awaits_customer)


def _weighed(
    s: Situation, outlook: Outlook | None, ask: Candidate | None
) -> tuple[Candidate, list[Candidate], bool]:
    """The move that comes first, those it comes before, and whether only the customer can bring about a charge."""
    charge, notice = announce.announced(s, timing.next_charge(s, outlook))
    short = _below_minimum(s, charge)
    if short is not None:
        charge = ask = notice = None
    found = [c for c in (charge, notice, ask, short, _ending(s)) if c is not None]
    chosen = min(found, key=lambda c: (c.at, _ORDER[c.move]))
    return chosen, [c for c in found if c is not chosen], charge is None and short is None


def _depends_on_draw(s: Situation, outlook: Outlook, chosen: Candidate) -> bool:
    """Whether another draw may end in the same move, or this one in another: the drawn instant's own chance is then not
    the move's."""
    if chosen.move == "charge" and not timing.may_move(s):
        return False
    drawn = learned.drawn_among(s, outlook)
    return len(drawn) > 1 and (
        timing.may_move(s) or outlook.candidates[drawn[0]].elapsed <= outlook.hours(chosen.at)
    )


def _likely(s: Situation, outlook: Outlook, ask: Candidate | None, chosen: Candidate) -> float:
    """How likely the move was before the draw: the chances of all draws that end in it."""
    wanted, found = _what(chosen), 0.0
    for draw, chance in learned.draws(s, outlook):
        other, _, _ = _weighed(msgspec.structs.replace(s, draw=draw), outlook, ask)
        if _what(other) == wanted:
            found += chance
    return round(found, 6)


def _what(c: Candidate) -> tuple[object, ...]:
    return c.move, c.at, c.method_id, c.step, c.debit_at


def _charged(s: Situation, c: Candidate) -> str | None:
    if c.move != "charge":
        return None
    return c.method_id or (s.method.id if s.method else None)


def _below_minimum(s: Situation, charge: Candidate | None) -> Candidate | None:
    """Small debts wait until the customer owes enough for it to be worth a try; rungs passed meanwhile are left out."""
    currency = s.view.debt.currency
    least = s.policy.minimum_due.get(currency, 0)
    owed = s.view.debt.amount_minor if s.around.owed_minor is None else s.around.owed_minor
    if owed >= least or s.fresh:
        return None
    steps = [s.start + r.after for r in s.policy.retry] + [s.start + m.after for m in s.policy.message]
    later = min((t for t in steps if t > s.now), default=s.end)
    why = f"{told(owed, currency)} due, and {told(least, currency)} is the policy's minimum_due"
    skipped = ("charge below minimum_due",) if charge is not None and charge.at <= s.now else ()
    return Candidate(
        move="wait", at=max(min(later, s.end), s.now), because=(why,), by="minimum_due", skipped=skipped
    )


def _ending(s: Situation) -> Candidate:
    span = f"the window of {s.policy_ref} ends {text(s.end)}"
    return Candidate(move="give_up", at=max(s.end, s.now), because=(span,), by="ending")


def _decision(
    s: Situation,
    c: Candidate,
    *,
    queue: str | None = None,
    others: tuple[RunnerUp, ...] = (),
    awaits_customer: bool = False,
) -> Decision:
    ending = c.move == "give_up"
    action = s.policy.ending.action if ending else None
    if action == "hand_over":
        return Decision(
            case_id=s.view.case_id, move="hand_over", at=c.at, queue="ending", because=c.because, by=c.by,
            policy=s.policy_ref, runners_up=others,
        )  # fmt: skip
    return Decision(
        case_id=s.view.case_id,
        move=c.move,
        at=c.at,
        method_id=_charged(s, c),
        amount_minor=s.view.debt.amount_minor if c.move == "charge" or c.debit_at is not None else None,
        debit_at=c.debit_at,
        channel=c.channel,
        step=c.step,
        queue=queue,
        action=action,
        because=c.because,
        by=c.by,
        propensity=c.propensity,
        policy=s.policy_ref,
        rules=c.rules,
        skipped=c.skipped,
        runners_up=(*c.runners_up, *others),
        awaits_customer=awaits_customer,
    )
