"""Signed, expiring links for people without a login; and the addresses the house is reached at."""

import base64
import hashlib
import hmac
from datetime import datetime, timedelta
from urllib.parse import urlencode

import msgspec

from recoup.domain.instants import from_micros, to_micros

PAY_FOR = timedelta(days=14)
CARD_FOR = timedelta(days=60)


class BadLink(ValueError):
    """A link that was not made here, or was changed."""


class Ticket(msgspec.Struct, frozen=True, array_like=True):
    """What a link allows: one purpose, one merchant, one case (or customer), until an instant."""

    purpose: str
    merchant_id: str
    subject: str
    expires: int

    @property
    def expires_at(self) -> datetime:
        return from_micros(self.expires)


class Links:
    """Makes and reads links. A link carries no secret of its own; the signature is over everything it says."""

    def __init__(self, base_url: str, secret: str) -> None:
        self.base_url = base_url.rstrip("/")
        self._key = hashlib.sha256(b"recoup/links/" + secret.encode()).digest()

    def at(self, domain: str | None) -> str:
        """Where subscribers reach us: the merchant's own domain where it has one, else our own address."""
        return f"https://{domain}" if domain else self.base_url

    def pay(self, merchant_id: str, case_id: str, now: datetime, *, domain: str | None = None) -> str:
        """The address of the page where this debt can be paid."""
        return f"{self.at(domain)}/pay/{self.token('pay', merchant_id, case_id, now + PAY_FOR)}"

    def card(self, merchant_id: str, customer_id: str, now: datetime, *, domain: str | None = None) -> str:
        """The address of the page where a customer gives a new card before the old one expires."""
        return f"{self.at(domain)}/card/{self.token('card', merchant_id, customer_id, now + CARD_FOR)}"

    def preferences(
        self, merchant_id: str, customer_id: str, now: datetime, *, domain: str | None = None
    ) -> str:
        """The address of the customer's message preferences."""
        token = self.token("prefs", merchant_id, customer_id, now + timedelta(days=365))
        return f"{self.at(domain)}/u/{token}"

    def banner(self, merchant_id: str, customer_id: str, until: datetime) -> str:
        """The token with which a page of the merchant's product asks what this one customer may do, until an instant."""
        return self.token("banner", merchant_id, customer_id, until)

    def short_code(self, text: str, *, size: int = 8) -> str:
        """A code that only this house can make of `text`, `size` bytes of it, in letters that a link can hold."""
        return _b64(hmac.new(self._key, b"short/" + text.encode(), hashlib.sha256).digest()[:size])

    def short(self, code: str, *, domain: str | None = None) -> str:
        """The address behind which a short link waits."""
        return f"{self.at(domain)}/s/{code}"

    def sms_status(self, merchant_id: str, once_key: str) -> str:
        """Where a provider tells what became of a text message, and what its recipients answer."""
        return f"{self.base_url}/sms/{merchant_id}?{urlencode({'message': once_key})}"

    def mark(self, text: str) -> bytes:
        """A mark that only this house can make of `text`, for what must be told apart and not be read."""
        return self._sign(b"mark/" + text.encode())

    def contact_preferences(
        self, merchant_id: str, contact_id: str, now: datetime, *, domain: str | None = None
    ) -> str:
        """The address of the message preferences of a further person of a customer."""
        token = self.token("prefs-contact", merchant_id, contact_id, now + timedelta(days=365))
        return f"{self.at(domain)}/u/{token}"

    def address_digest(self, email: str) -> str:
        """What an address is counted by: the same for the same address, and nothing to read an address from."""
        said = b"address/" + email.strip().casefold().encode()
        return hmac.new(self._key, said, hashlib.sha256).hexdigest()[:32]

    def token(self, purpose: str, merchant_id: str, subject: str, expires_at: datetime) -> str:
        """The signed text of a ticket."""
        body = msgspec.json.encode(Ticket(purpose, merchant_id, subject, to_micros(expires_at)))
        return f"{_b64(body)}.{_b64(self._sign(body))}"

    def read(self, token: str, purpose: str) -> Ticket:
        """The ticket, expired or not (the page says so kindly). Raises `BadLink`."""
        try:
            body_text, signature = token.split(".")
            body = _unb64(body_text)
            if not hmac.compare_digest(self._sign(body), _unb64(signature)):
                raise BadLink("this link was not made here, or a part of it was lost")
            ticket = msgspec.json.decode(body, type=Ticket)
        except (ValueError, msgspec.MsgspecError) as e:
            raise BadLink("this link was not made here, or a part of it was lost") from e
        if ticket.purpose != purpose:
            raise BadLink("this link is for another page")
        return ticket

    def _sign(self, body: bytes) -> bytes:
        return hmac.new(self._key, body, hashlib.sha256).digest()[:18]


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
