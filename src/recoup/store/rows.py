"""Row <-> value, both ways, total: a case, its facts and its attempts as the tables hold them."""

from typing import Any

import msgspec

from recoup.domain import facts as f
from recoup.domain.case import Case
from recoup.domain.decline import understand
from recoup.domain.instants import to_micros
from recoup.domain.view import Attempt, Method, Result

_case_decoder = msgspec.json.Decoder(Case)
_fact_decoder: msgspec.json.Decoder[f.Fact] = msgspec.json.Decoder(f.Fact)
_encoder = msgspec.json.Encoder()
_DECLINED = Result.DECLINED  # looked up once: this runs for every row

Row = dict[str, Any]


def case_from(body: str) -> Case:
    """The case a row's body holds."""
    return _case_decoder.decode(body)


def case_body(case: Case) -> str:
    """The case as the row's body; byte for byte the same for equal cases."""
    return _encoder.encode(case).decode()


def fact_from(body: str) -> f.Fact:
    """The fact a row's body holds."""
    return _fact_decoder.decode(body)


def category_of(case: Case) -> str | None:
    """The normalised category of the latest refusal, for filters and messages; None before any refusal."""
    for attempt in reversed(case.attempts):
        if attempt.result is _DECLINED:
            return understand(attempt, _method(case, attempt), on=attempt.at.date()).category
    return None


def _method(case: Case, attempt: Attempt) -> Method | None:
    for method in case.methods:
        if method.id == attempt.method_id:
            return method
    return None


def case_row(case: Case, claimed_by: str | None) -> Row:
    """Every column of the case's row, instants as microseconds (the raw form that bulk statements take)."""
    return {
        "debt_id": case.debt.id,
        "customer_id": case.customer.id,
        "subscription_id": case.debt.subscription_id,
        "currency": case.debt.currency,
        "opened_at": to_micros(case.opened_at),
        **moved_row(case, claimed_by),
    }


def moved_row(case: Case, claimed_by: str | None) -> Row:
    """The key and the columns that can change in a case's life."""
    amount_minor, policy, hold, queue, owner, surplus_minor = seldom_moved(case)
    return {
        **stepped_row(case, claimed_by),
        "amount_minor": amount_minor,
        "policy": policy,
        "hold": hold,
        "queue": queue,
        "owner": owner,
        "surplus_minor": surplus_minor,
    }


def seldom_moved(case: Case) -> tuple[int, str, str | None, str | None, str | None, int]:
    """The columns that most steps leave as they are: amount, policy, hold, queue, owner, surplus."""
    hold = case.hold.reason if case.hold else None
    return case.debt.amount_minor, case.policy, hold, case.queue, case.owner, case.surplus_minor


def stepped_row(case: Case, claimed_by: str | None) -> Row:
    """The key and the columns that a charge or a plan changes."""
    return {
        "merchant_id": case.merchant_id,
        "id": case.id,
        "state": case.state.value,
        "category": category_of(case),
        "closed_at": None if case.closed_at is None else to_micros(case.closed_at),
        "recovered_by": case.by,
        "next_action_at": None if case.next_action_at is None else to_micros(case.next_action_at),
        "claimed_by": claimed_by,
        "version": case.version,
        "body": case_body(case),
    }


def fact_row(case: Case, seq: int, fact: f.Fact) -> Row:
    """One fact of `case` under its sequence number."""
    return {
        "merchant_id": case.merchant_id,
        "case_id": case.id,
        "seq": seq,
        "at": to_micros(fact.at),
        "kind": f.kind_of(fact),
        "actor": fact.actor,
        "body": _encoder.encode(fact).decode(),
    }


def attempt_row(case: Case, attempt: Attempt) -> Row:
    """One attempt of `case` as the networks count it."""
    method = _method(case, attempt)
    return {
        "merchant_id": case.merchant_id,
        "case_id": case.id,
        "id": attempt.id,
        "identity": (method.identity if method else attempt.method_id) or "",
        "network": method.network if method else None,
        "at": to_micros(attempt.at),
        "trigger": attempt.trigger.value,
        "amount_minor": attempt.amount_minor,
        "currency": case.debt.currency,
        "result": attempt.result.value,
        "psp": attempt.psp,
        "code": attempt.code,
        "network_code": attempt.network_code,
        "advice_code": attempt.advice_code,
        "ref": attempt.ref,
    }


def answer_row(case: Case, attempt: Attempt) -> Row:
    """The key of an attempt and the columns its answer changes."""
    return {
        "merchant_id": case.merchant_id,
        "case_id": case.id,
        "id": attempt.id,
        "result": attempt.result.value,
        "code": attempt.code,
        "network_code": attempt.network_code,
        "advice_code": attempt.advice_code,
        "ref": attempt.ref,
    }


def same_try(old: Attempt, new: Attempt) -> bool:
    """Whether nothing but the answer is new."""
    return (old.method_id, old.at, old.trigger, old.amount_minor, old.psp) == (
        new.method_id, new.at, new.trigger, new.amount_minor, new.psp,
    )  # fmt: skip
