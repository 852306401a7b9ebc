"""The test bank accounts of the sandbox and their form: test numbers only, real ones refused, none ever kept."""

import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from recoup.domain.view import Method
from recoup.psp.sandbox_cards import WORKS, FormRefused

# Numbers as Stripe publishes them for tests (docs.stripe.com/payments/sepa-debit/set-up-payment).
_ACCOUNTS: Mapping[str, str] = {
    "DE89370400440532013000": WORKS,
    "AT611904300234573201": WORKS,
    "DE62370400440532013001": "no_funds",
    "AT861904300235473202": "no_funds",
}
TEST_ACCOUNTS = tuple(_ACCOUNTS)


def read_account(customer_id: str, form: Mapping[str, Any]) -> tuple[Method, str]:
    """The SEPA debit method in the form's `account`, and how it behaves. Raises `FormRefused`."""
    number = re.sub(r"[\s-]", "", str(form.get("account") or "")).upper()
    behaviour = _ACCOUNTS.get(number)
    if behaviour is None:
        raise FormRefused(
            "This is a sandbox: use a test account, for example DE89 3704 0044 0532 0130 00. Nothing was kept."
        )
    digest = blake2b(f"{customer_id}/{number}".encode(), digest_size=10).hexdigest()
    fingerprint = blake2b(number.encode(), digest_size=10).hexdigest()
    method = Method(
        id=f"pm_{digest}",
        kind="sepa_debit",
        country=number[:2],
        fingerprint=f"f_{fingerprint}",
        last4=number[-4:],
    )
    return method, behaviour
