"""Bank debits presented again: what Nacha, Bacs and SEPA allow, and from which notice they count."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import NamedTuple

from recoup.decide.ahead import Ahead
from recoup.decide.caps import span_words
from recoup.decide.rulebook import rule
from recoup.decide.tries import Try


class Moved(NamedTuple):
    """What a rule makes of an instant: the first one it allows (None: none), and why where it moved or refused."""

    at: datetime | None
    rule: str = ""
    says: str = ""


def nacha(tries: Sequence[Try], at: datetime, renewed_at: datetime | None = None) -> Moved:
    """Reinitiation of a returned ACH debit: so often, and so long after the first entry; of one returned as wrong
    (R11), one corrected entry, within its days. `renewed_at`: when the payer last authorised it anew.

    The days are counted from the first attempt, which lies before its settlement: that errs on the early side.
    """
    mine = [t for t in tries if t.mine]
    if not mine:
        return Moved(at)
    r = rule("NACHA-REINIT")
    count, span = r.count_in("US", at.date()), r.time
    again = len(mine) - 1
    if again >= count:
        return Moved(None, r.id, f"{again} of {count} Nacha reinitiations used ({r.id})")
    if at > mine[0].at + span:
        return Moved(None, r.id, f"more than {span_words(span)} since the first entry ({r.id})")
    return _corrected(mine, at, renewed_at)


def _corrected(mine: list[Try], at: datetime, renewed_at: datetime | None) -> Moved:
    r = rule("NACHA-R11")
    wrong = [
        t.at
        for t in mine
        if t.decline is not None and r.names(t.decline.raw or t.decline.provider_code, at.date())
    ]
    if not wrong or (renewed_at is not None and renewed_at > wrong[-1]):
        return Moved(at)
    most = r.count_in("US", at.date())
    if len(wrong) > most:
        return Moved(None, r.id, f"{most} of {most} corrected entries used after R11 ({r.id})")
    if at > wrong[-1] + r.time:
        return Moved(None, r.id, f"more than {span_words(r.time)} since the return R11 ({r.id})")
    return Moved(at)


def sepa_mandate(tries: Sequence[Try], at: datetime, given_at: datetime | None) -> Moved:
    """A SEPA mandate that was not used for so long has lapsed; every collection on it is a use of it."""
    r = rule("SEPA-MANDATE-36M")
    uses = [t.at for t in tries[-1:]] + ([given_at] if given_at is not None else [])
    if not uses or at <= max(uses) + r.time:
        return Moved(at)
    return Moved(None, r.id, f"the mandate was not used for {r.time.days // 365 * 12} months ({r.id})")


def lender(tries: Sequence[Try], at: datetime, renewed_at: datetime | None) -> Moved:
    """A covered loan in the United States: after two withdrawals in a row that failed the payer has to authorise anew.

    `tries` are all on the account, whatever the debt.
    """
    r = rule("CFPB-PAYDAY-TWO-STRIKES")
    most = r.count_in("US", at.date())
    failed = 0
    for one in reversed(tries):
        if one.paid or (renewed_at is not None and one.at < renewed_at):
            break
        failed += 1
    if failed < most or r.since > at.date():
        return Moved(at)
    return Moved(None, r.id, f"{failed} withdrawals failed in a row: a new authorisation is needed ({r.id})")


def nacha_usage(tries: Sequence[Try]) -> str:
    """`1 of 2 Nacha reinitiations used (NACHA-REINIT)`."""
    r = rule("NACHA-REINIT")
    again = max(sum(t.mine for t in tries) - 1, 0)
    return f"{again} of {r.count} Nacha reinitiations used ({r.id})"


def bacs(tries: Sequence[Try], at: datetime, *, amount_minor: int, now: datetime, announced: bool) -> Moved:
    """A Bacs debit presented again: the same amount, so often and so soon after the first, with notice of the new date;
    after that it is a new collection, with longer notice. Notice is counted in working days from `now` (unless it is
    `announced` already)."""
    ahead = None if announced else bacs_notice(tries, at, amount_minor)
    if ahead is None:
        return Moved(at)
    moved = _noticed(ahead, at, now)
    if moved.at is not None and bacs_notice(tries, moved.at, amount_minor) != ahead:
        return _noticed(_new_collection(at), at, now)
    return moved


def bacs_notice(tries: Sequence[Try], at: datetime, amount_minor: int) -> Ahead | None:
    """How long ahead the payer is told of a Bacs debit at `at`; None where it is the first one."""
    first, amount, again = _presentation(tries)
    if first is None:
        return None
    r = rule("BACS-REPRESENT")
    if again < r.count_in("GB", at.date()) and at <= first + r.time and amount == amount_minor:
        notice = rule("BACS-REPRESENT-NOTICE")
        return Ahead(rule=notice.id, working_days=notice.count_in("GB", at.date()))
    return _new_collection(at)


def _new_collection(at: datetime) -> Ahead:
    notice = rule("BACS-AFTER-MONTH")
    return Ahead(rule=notice.id, working_days=notice.count_in("GB", at.date()))


def _noticed(ahead: Ahead, at: datetime, now: datetime) -> Moved:
    from_then = ahead.debit_from(now)
    if from_then <= at:
        return Moved(at)
    what = "a new Bacs collection" if ahead.rule == "BACS-AFTER-MONTH" else "a Bacs debit on a new date"
    says = f"{what}: not before {stamp(from_then)}, {ahead.says}' notice ({ahead.rule})"
    return Moved(from_then, ahead.rule, says)


def bacs_usage(tries: Sequence[Try]) -> str:
    """`1 of 2 Bacs re-presentations used in 30 days (BACS-REPRESENT)`."""
    r = rule("BACS-REPRESENT")
    return (
        f"{_presentation(tries)[2]} of {r.count} Bacs re-presentations used in {span_words(r.time)} ({r.id})"
    )


def _presentation(tries: Sequence[Try]) -> tuple[datetime | None, int, int]:
    """The collection that runs: when it was first presented, its amount, how often it was presented again."""
    r = rule("BACS-REPRESENT")
    most, span = r.count_in("GB", _ANY_DAY), r.time
    first: datetime | None = None
    amount = again = 0
    for one in tries:
        if not one.mine:
            continue
        if first is None or again >= most or one.at > first + span or one.amount_minor != amount:
            first, amount, again = one.at, one.amount_minor, 0
        else:
            again += 1
    return first, amount, again


def stamp(instant: datetime) -> str:
    """`2026-03-04 09:00`, in UTC."""
    return instant.isoformat(" ", "minutes")[:16]


_ANY_DAY = date.max
