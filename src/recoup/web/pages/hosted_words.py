"""The sentences of the subscriber's page that depend on what happened: a decline in kind words, and where it can be mended."""

from typing import Literal

from recoup.channels.languages import Tongue, begun, sentence
from recoup.domain.case import Case
from recoup.domain.decline import masked, retry_possible, understand
from recoup.domain.view import Attempt, Method, Result
from recoup.engine.letters import method_label

Field = Literal["expires", "number", "cvc", "account"]
"""The field of the form in which the failure can be mended."""

_WHY = {
    "insufficient_funds": sentence("Your bank said there is not enough money on it right now."),
    "velocity_or_limit": sentence("Your bank said that a limit was reached."),
    "technical": sentence("A technical fault got in the way; it has nothing to do with you."),
    "authentication_required": sentence("Your bank wants you to confirm the payment yourself."),
    "expired_card": sentence("The card has expired or was replaced."),
    "invalid_details": sentence("Your bank could not match the details of the card."),
    "closed_account": sentence("Your bank could not approve it with this account."),
    "not_permitted": sentence("Your bank does not allow this kind of payment with it."),
    "revoked_authorisation": sentence("Your bank tells us that we may not collect from it any more."),
    "customer_abandoned": sentence("The last step did not take place."),
}
"""What a customer may read about a decline, by masked category. Any other: the bank said no, without a reason."""
_NO_REASON = sentence("Your bank said no and gave no reason.")
_SPOKEN = frozenset(
    {"technical", "authentication_required", "customer_abandoned", "expired_card", "invalid_details"}
)
_ANOTHER = frozenset(
    {"expired_card", "invalid_details", "closed_account", "not_permitted", "revoked_authorisation"}
)
_IN_NUMBER = frozenset({"incorrect_number", "invalid_number", "14"})
_IN_CVC = frozenset({"incorrect_cvc", "invalid_cvc", "n7", "82", "b2"})
_IN_EXPIRES = frozenset({"invalid_expiry_year", "invalid_expiry_month", "54"})


def last_declined(case: Case) -> Attempt | None:
    """The latest refusal of this debt."""
    return next((a for a in reversed(case.attempts) if a.result is Result.DECLINED), None)


def of(case: Case, attempt: Attempt | None) -> Method | None:
    """The method an attempt was made on, where it is still known."""
    return next((m for m in case.methods if attempt is not None and m.id == attempt.method_id), None)


def category(case: Case, attempt: Attempt | None) -> str:
    """What may be known of a refusal by its payer: never fraud, loss or theft."""
    if attempt is None:
        return "unknown"
    return masked(understand(attempt, of(case, attempt), on=attempt.at.date()).category)


def time_may_cure(case: Case, attempt: Attempt | None) -> bool:
    """Whether another day can make a difference."""
    return attempt is not None and retry_possible(
        understand(attempt, of(case, attempt), on=attempt.at.date())
    )


def hopeless(case: Case, method: Method) -> bool:
    """Whether the last try on this method said that only another method helps."""
    last = next((a for a in reversed(case.attempts) if a.method_id == method.id), None)
    return last is not None and category(case, last) in _ANOTHER


def field(case: Case, attempt: Attempt | None) -> Field | None:
    """Where in the form the failure can be mended; None where no field of it was wrong."""
    if attempt is None:
        return None
    method = of(case, attempt)
    if method is not None and method.kind.endswith("_debit"):
        return "account"
    codes = {c.lower() for c in (attempt.code, attempt.network_code) if c}
    meant = category(case, attempt)
    if meant == "expired_card" or codes & _IN_EXPIRES:
        return "expires"
    if codes & _IN_CVC:
        return "cvc"
    if codes & _IN_NUMBER or meant == "invalid_details":
        return "number"
    return None


def told(case: Case, last: Attempt | None, say: Tongue, locale: str) -> str:
    """What happened, in one or two sentences."""
    if last is None:
        return say(sentence("This payment has not been made yet."))
    label = method_label(of(case, last), locale)
    meant = category(case, last)
    if meant == "expired_card" and label:
        said = sentence("Your last payment did not go through: {method} has expired or was replaced.")
        return say(said).format(method=label)
    if meant in _SPOKEN:
        was = say(sentence("Your last payment did not go through."))
        return f"{was}{say.gap}{say(_WHY[meant])}"
    if label:
        return say(sentence("Your bank said no to {method}.")).format(method=label)
    return say(sentence("Your bank said no to the last payment."))


def own_try(case: Case, own: Attempt, say: Tongue, locale: str) -> str:
    """How the customer's own try a moment ago went."""
    label = method_label(of(case, own), locale) or say(sentence("This payment method"))
    was = begun(say(sentence("{method} was declined.")).format(method=label))
    return f"{was}{say.gap}{say(_WHY.get(category(case, own), _NO_REASON))}"
