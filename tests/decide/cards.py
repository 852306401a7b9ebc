"""Small builders for stories of attempts: a card, its refusals, the view a decision looks at."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from recoup.decide.limits import Counted, Verdict, earliest
from recoup.domain.view import (
    Attempt,
    CaseView,
    Customer,
    Debt,
    Method,
    PastDebt,
    Result,
    Trigger,
)

START = datetime(2026, 8, 3, 9, 0, tzinfo=UTC)
AMOUNT = 4900
FAR = timedelta(days=400)


def day(days: float) -> datetime:
    """So many days after the first failure."""
    return START + timedelta(days=days)


def card(network: str | None = "visa", **more: object) -> Method:
    return Method(id="pm_1", network=network, fingerprint="f_1", **more)  # type: ignore[arg-type]


def debit(kind: str, **more: object) -> Method:
    return Method(id="pm_1", kind=kind, fingerprint="f_1", **more)  # type: ignore[arg-type]


def refused(at: datetime, **more: object) -> Attempt:
    """A refusal for lack of funds, unless told otherwise."""
    told: dict[str, object] = {"trigger": Trigger.RECOUP, "result": Result.DECLINED, "amount_minor": AMOUNT}
    if not {"code", "network_code"} & set(more):
        told["code"] = "insufficient_funds"
    told |= {"id": f"a_{at.isoformat()}_{len(more)}", "method_id": "pm_1", **more}
    return Attempt(at=at, **told)  # type: ignore[arg-type]


def paid(at: datetime, **more: object) -> Attempt:
    return refused(at, code=None, result=Result.PAID, **more)


def counted(at: datetime, identity: str = "f_1", **more: object) -> Counted:
    told = {"amount_minor": AMOUNT, "result": Result.DECLINED, "code": "insufficient_funds", **more}
    return Counted(at=at, identity=identity, **told)  # type: ignore[arg-type]


def view(
    attempts: Sequence[Attempt],
    method: Method,
    *more_methods: Method,
    now: datetime | None = None,
    country: str | None = None,
    past: Sequence[Attempt] = (),
    **debt: object,
) -> CaseView:
    told = {"id": "in_1", "amount_minor": AMOUNT, "currency": "EUR", **debt}
    return CaseView(
        case_id="c_1",
        now=now or max((a.at for a in attempts), default=START),
        debt=Debt(**told),  # type: ignore[arg-type]
        customer=Customer(id="cus_1", country=country),
        methods=(method, *more_methods),
        attempts=tuple(attempts),
        history=(PastDebt(attempts=tuple(past)),) if past else (),
    )


def ask(seen: CaseView, at: datetime | None = None, method: Method | None = None, **more: object) -> Verdict:
    """The verdict for the view's first method, at its now unless another instant is given."""
    told: dict[str, object] = {"amount_minor": seen.debt.amount_minor, "currency": seen.debt.currency, **more}
    told.setdefault("horizon", seen.now + FAR)
    return earliest(seen, method or seen.methods[0], at or seen.now, **told)  # type: ignore[arg-type]
