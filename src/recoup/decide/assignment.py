"""Which arm a customer is in: a salted hash, so the same customer is always in the same arm, and nobody can choose."""

from collections.abc import Sequence
from hashlib import blake2b

from recoup.domain.decline import understand
from recoup.domain.experiment import OTHER_WORDS, Arm, Enrolment, Plan
from recoup.domain.view import CaseView, Result


def place(salt: str, customer_id: str) -> float:
    """The customer's place in [0, 1) under this salt; places under two salts know nothing of each other."""
    digest = blake2b(customer_id.encode(), key=salt.encode()[:64], digest_size=7).digest()
    return int.from_bytes(digest) / 2**56


def arm_of(plan: Plan, customer_id: str) -> Arm:
    """The arm this customer is in, for as long as the experiment runs."""
    here, edge = place(plan.salt, customer_id), 0.0
    for arm in plan.arms:
        edge += arm.share
        if here < edge:
            return arm
    return plan.arms[-1]  # the shares' sum may fall short of 1 by a rounding


def enrol(plans: Sequence[Plan], view: CaseView) -> tuple[tuple[Enrolment, ...], str | None]:
    """The place of a case that opens in every running experiment it is in the audience of, drawn by its customer; and the
    policy (`name@version`) one of them asks for, if any."""
    places, policy = [], None
    for plan in plans:
        if plan.audience is not None and not plan.audience.fits(view):
            continue
        arm = arm_of(plan, view.customer.id)
        places.append(
            Enrolment(
                experiment=plan.id,
                kind=plan.kind,
                arm=arm.name,
                share=arm.share,
                variant=arm.variant or (OTHER_WORDS if arm.texts else None),
            )
        )
        policy = policy or arm.policy
    return tuple(places), policy


def stratum(view: CaseView) -> str:
    """What is known of a case before any arm could touch it: cause, size of the amount, tenure. For fairer comparison."""
    first = next((a for a in view.attempts if a.result is Result.DECLINED), None)
    cause = "none"
    if first is not None:
        cause = understand(first, view.method(first.method_id), on=first.at.date()).category
    amount, tenure = view.debt.amount_minor, view.customer.tenure_days
    size = "small" if amount < 3_000 else "middle" if amount < 15_000 else "large"
    age = "unknown" if tenure is None else "new" if tenure < 90 else "settled" if tenure < 365 else "old"
    return f"{cause}/{size}/{age}"
