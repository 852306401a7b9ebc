"""What a message may say about a case: the facts of the letter, gathered from case, contact and brand."""

from datetime import datetime

from recoup.channels import texts
from recoup.channels.facts import MessageFacts
from recoup.channels.languages import tongue
from recoup.domain.case import Case, State
from recoup.domain.view import Attempt, Method, Result
from recoup.engine.house import House
from recoup.store.customers import Contact
from recoup.store.merchants import Merchant
from recoup.store.rows import category_of

TRIALS = frozenset({"trial", "trial_end", "first_charge"})
"""Kinds of debts that are the first charge after a trial."""
_NETWORKS = {"visa": "Visa", "mastercard": "Mastercard", "amex": "American Express", "discover": "Discover"}


def facts_of(
    house: House, merchant: Merchant, case: Case, contact: Contact, now: datetime, *, reader: str = "customer"
) -> MessageFacts:
    """Everything one letter about `case` may say, for the renderer. Raises `BadFacts`."""
    plan = case.plan if case.plan and case.plan.move == "charge" else None
    refused, paid = _latest(case, Result.DECLINED), _latest(case, Result.PAID)
    over, parted = case.state is State.RECOVERED, case.debt.paid_minor
    locale = contact.locale or case.customer.locale or "en"
    method = _method(case, paid) if over else _method(case, refused) or _fallback(case)
    next_try = plan.at if plan and plan.at and plan.at > now else None
    planned = next((m for m in case.methods if plan and next_try and m.id == plan.method_id), None)
    deadline = case.window_ends_at if case.window_ends_at and case.window_ends_at > now else None
    return MessageFacts(
        merchant=merchant.brand.name or merchant.name,
        support=merchant.brand.support or house.support,
        accent=merchant.brand.accent or "#0b6e4f",
        logo_url=merchant.brand.logo_url,
        customer=contact.name,
        amount_minor=case.debt.amount_minor + (parted if over else 0),
        tried_minor=refused.amount_minor
        if refused and refused.amount_minor != case.debt.amount_minor
        else None,
        paid_minor=parted or None,
        currency=case.debt.currency,
        locale=locale,
        timezone=contact.timezone or case.customer.timezone or "UTC",
        failed_at=refused.at if refused else case.opened_at,
        next_try_at=next_try,
        paid_at=(paid.answered_at or paid.at) if paid else _settled_at(case),
        deadline=deadline,
        deadline_action=_ending(house, merchant, case) if deadline else case.action,
        method_label=method_label(method, locale),
        next_label=method_label(planned, locale) if planned != method else None,
        rail=method.kind if method is not None else None,
        cause=category_of(case) or "unknown",
        pay_url=house.links.pay(merchant.id, case.id, now, domain=merchant.brand.pay_domain),
        preferences_url=house.links.preferences(
            merchant.id, case.customer.id, now, domain=merchant.brand.pay_domain
        ),
        what=what_of(merchant, case, locale),
        reference=case.debt.id,
        reader=reader,
        test=merchant.on_test_clock or merchant.psp == "sandbox",
    )


def _settled_at(case: Case) -> datetime | None:
    return case.closed_at if case.state is State.RECOVERED else None


def _latest(case: Case, result: Result) -> Attempt | None:
    return next((a for a in reversed(case.attempts) if a.result is result), None)


def _method(case: Case, attempt: Attempt | None) -> Method | None:
    """The method an attempt was made on, where it is still known."""
    return next((m for m in case.methods if attempt is not None and m.id == attempt.method_id), None)


def _fallback(case: Case) -> Method | None:
    """The method that was tried last of all, else the newest one."""
    known = (_method(case, attempt) for attempt in reversed(case.attempts))
    return next((m for m in known if m is not None), case.methods[-1] if case.methods else None)


def method_label(method: Method | None, locale: str = "en") -> str | None:
    """How the customer knows the method, such as `Visa ending 4242`; None where there is nothing to know it by."""
    if method is None:
        return None
    network = _NETWORKS.get(method.network or "") if method.kind == "card" else None
    if not method.last4:
        return network
    said = texts.ACCOUNT_ENDING
    if method.kind == "card":
        said = texts.CARD_ENDING if network else texts.PLAIN_CARD_ENDING
    return tongue(locale)(said.source).format_map({"network": network, "last4": method.last4})


def what_of(merchant: Merchant, case: Case, locale: str) -> str:
    """What a debt is for, in the customer's words: its description, else the plan, else the merchant's subscription."""
    return case.debt.description or case.customer.plan or some_subscription(merchant, locale)


def said_as(step: str, case: Case) -> str:
    """The message a step is sent as: the first charge after a trial is told as what it is."""
    tells = step in ("soft_notice", "action_needed")
    return "trial_first_charge" if tells and case.debt.kind in TRIALS else step


def some_subscription(merchant: Merchant, locale: str) -> str:
    """What is paid for where nobody told us: the merchant's subscription."""
    said = tongue(locale)(texts.SOME_SUBSCRIPTION.source)
    return said.format_map({"merchant": merchant.brand.name or merchant.name})


def _ending(house: House, merchant: Merchant, case: Case) -> str | None:
    policy = house.known_policy(merchant.id, case.policy)
    return policy.ending.action if policy else None
