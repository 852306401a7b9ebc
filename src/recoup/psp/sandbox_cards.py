"""The test cards of the sandbox and its form: test numbers only, real ones refused, none ever kept."""

import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import msgspec

from recoup.domain.view import Method
from recoup.psp.port import Declined

WORKS = "works"
AS_LIVED = "as_lived"
"""A card given in a story: whether it is good, and when, is for the hidden life to say."""
BEHAVIOURS: Mapping[str, Declined | None] = {
    WORKS: None,
    "fails": Declined(code="generic_decline", network_code="05"),
    "no_funds": Declined(code="insufficient_funds", network_code="51"),
    "lost": Declined(code="lost_card", network_code="41"),
    "stolen": Declined(code="stolen_card", network_code="43"),
    "expired": Declined(code="expired_card", network_code="54"),
    "velocity": Declined(code="card_velocity_exceeded", network_code="65"),
    "outage": Declined(code="processing_error", network_code="96"),
    "authentication": Declined(code="authentication_required", network_code="1A"),
}
"""What charging a card of each kind is answered; None approves. `authentication` declines only off-session."""


class _Card(msgspec.Struct, frozen=True):
    network: str
    behaviour: str


# Numbers as Stripe publishes them for tests (docs.stripe.com/testing), so that they are known. There most declining
# ones are refused when they are saved; here all are saved and decline when charged, because that is what there is to see.
_CARDS: Mapping[str, _Card] = {
    "4242424242424242": _Card("visa", WORKS),
    "4000056655665556": _Card("visa", WORKS),
    "5555555555554444": _Card("mastercard", WORKS),
    "378282246310005": _Card("amex", WORKS),
    "4000000000000341": _Card("visa", "fails"),
    "4000000000000002": _Card("visa", "fails"),
    "4000000000009995": _Card("visa", "no_funds"),
    "4000000000009987": _Card("visa", "lost"),
    "4000000000009979": _Card("visa", "stolen"),
    "4000000000000069": _Card("visa", "expired"),
    "4000000000006975": _Card("visa", "velocity"),
    "4000000000000119": _Card("visa", "outage"),
    "4000002500003155": _Card("visa", "authentication"),
    "4000002760003184": _Card("visa", "authentication"),
}
TEST_NUMBERS = tuple(_CARDS)


class FormRefused(ValueError):
    """The form cannot be taken; the text is for the person who filled it in and never repeats what they typed."""


def read_form(customer_id: str, form: Mapping[str, Any]) -> tuple[Method, str]:
    """The method in the form's `number`, `expires` (MM/YY; or `exp_month` and `exp_year`) and `cvc`, and how it behaves.

    The same card of the same customer gives the same method. Raises `FormRefused`.
    """
    number = re.sub(r"[\s-]", "", str(form.get("number") or ""))
    card = _CARDS.get(number)
    if card is None:
        raise FormRefused(_why_not(number))
    cvc = str(form.get("cvc") or "").strip()
    if cvc and not re.fullmatch(r"[0-9]{3,4}", cvc):
        raise FormRefused("The security code has three or four digits; any will do here.")
    expires = _expires(form)
    fingerprint = _digest(number)
    method = Method(
        id=f"pm_{_digest(customer_id, fingerprint, expires)}",
        kind="card",
        network=card.network,
        funding="credit",
        expires=expires,
        fingerprint=f"f_{fingerprint}",
        last4=number[-4:],
    )
    return method, card.behaviour


def _why_not(number: str) -> str:
    if not number:
        return "Type a test card number, for example 4242 4242 4242 4242."
    if re.fullmatch(r"[0-9]{12,19}", number) and _luhn(number):
        return (
            "This is a sandbox and that looks like a real card number; nothing was kept. "
            "Never type a real one here: use a test number, for example 4242 4242 4242 4242."
        )
    return "That is not a card number. Use a test number, for example 4242 4242 4242 4242."


def _expires(form: Mapping[str, Any]) -> str:
    """`YYYY-MM`."""
    given = str(form.get("expires") or f"{form.get('exp_month') or ''}/{form.get('exp_year') or ''}").strip()
    found = re.fullmatch(r"(?P<month>\d{1,2})\s*/\s*(?P<year>\d{2}|\d{4})", given) or re.fullmatch(
        r"(?P<year>\d{4})-(?P<month>\d{2})", given
    )
    if found is None or not 1 <= int(found["month"]) <= 12:
        raise FormRefused("Type the card's expiry as month and year, for example 04/30.")
    return f"{2000 + int(found['year']) % 100}-{int(found['month']):02d}"


def _luhn(number: str) -> bool:
    digits = [int(d) for d in reversed(number)]
    return sum(digits[::2] + [sum(divmod(2 * d, 10)) for d in digits[1::2]]) % 10 == 0


def _digest(*parts: str) -> str:
    return blake2b("/".join(parts).encode(), digest_size=10).hexdigest()
