"""The bring-your-own gateway: a merchant's home-made billing, called over HTTP as the docs promise."""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import quote, urlsplit

import msgspec

from recoup.domain.event import Event
from recoup.domain.money import is_currency
from recoup.domain.view import Method
from recoup.psp import generic_events
from recoup.psp.port import (
    ChargeAnswer,
    ChargeRequest,
    DebtState,
    Declined,
    EndingAnswer,
    EndingDone,
    EndingRefused,
    LookUpAnswer,
    NeverReceived,
    NewMethodForm,
    NotSent,
    Paid,
    Pending,
    Settled,
    Unknown,
)
from recoup.psp.webhook_signature import Signer
from recoup.wire.transport import Answer, Lost, NotOpened, Transport

_OK = frozenset({200, 201, 202})
_TOKEN_REFUSED = frozenset({401, 403})
_REFUSED = frozenset({400, 404, 405, 410, 411, 413, 414, 415, 422})
"""Statuses by which an HTTP server says that it did not take the request."""
_KEY_REUSED = re.compile(r"idempoten.{0,80}(reus|used|another|different|mismatch|conflict)", re.I | re.S)
_ENDED_AS = {
    "cancel": {"canceled", "cancelled"},
    "pause": {"paused"},
    "downgrade": {"downgraded"},
    "resume": {"active", "resumed"},
}
_TEST_DEBT = "recoup-doctor"
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class _Told(msgspec.Struct, frozen=True):
    """The body of a charge's answer. Codes sent as numbers are taken as text."""

    status: str
    attempt_id: str | None = None
    ref: str | int | None = None
    code: str | int | None = None
    network_code: str | int | None = None
    advice_code: str | int | None = None
    message: str | None = None


class _Due(msgspec.Struct, frozen=True):
    status: str
    amount_due_minor: Count
    currency: str


class _Status(msgspec.Struct, frozen=True):
    status: str | None = None
    ref: str | None = None


class Generic:
    """One merchant's own billing at `url`, with `token` as bearer. See `recoup.psp.port.Gateway` for the methods.

    `hook_secret`: one Standard Webhooks secret or several (the old ones while a new one is rolled out).
    `method_url`: where a customer gives a new method, with `{customer_id}`, `{debt_id}` and `{return_url}` to be filled in.
    Raises `ValueError` for a URL, secret or template that cannot work.
    """

    psp = "generic"
    decline_system = "iso8583"
    # The promise is that a key gives its answer for ever; a day is what is relied on, then it is only looked up.
    key_memory_s = 86_400.0
    resumes_cancelled = True
    takes_parts = True

    def __init__(
        self,
        url: str,
        token: str,
        hook_secret: str | Iterable[str],
        *,
        method_url: str | None = None,
        transport: Transport | None = None,
    ) -> None:
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise ValueError(
                "the token is empty or holds characters that a header cannot carry; copy it again"
            )
        self._http = transport or Transport(url)
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._token = token
        self._signer = Signer(hook_secret)
        self._method_url = None if method_url is None else _checked_template(method_url)

    def __repr__(self) -> str:
        return f"Generic({self._http.origin})"

    def charge(self, request: ChargeRequest) -> ChargeAnswer:
        """Charges now, under `request.attempt_id` as the key."""
        body = msgspec.json.encode(
            {
                "attempt_id": request.attempt_id,
                "case_id": request.case_id,
                "debt_id": request.debt_id,
                "customer_id": request.customer_id,
                "method_id": request.method.id if request.method else None,
                "amount_minor": request.amount_minor,
                "currency": request.currency,
            }
        )
        answer = self._call("POST", "/charges", body=body, key=request.attempt_id)
        if not isinstance(answer, Answer):
            return answer
        if answer.status in _OK or answer.status == 402:
            told = _told(answer, request.attempt_id)
            # 402 is no promised status; it counts only where the body says in so many words that it was declined.
            if answer.status == 402 and not isinstance(told, Declined):
                return Unknown(why="the merchant's billing answered 402 without a declined charge in it")
            return told
        if answer.status == 409:
            return self._settled(answer, request)
        if answer.status in _REFUSED:
            said = self._said(answer)
            if answer.status in (400, 422) and _KEY_REUSED.search(said):
                return Unknown(
                    why=f"the key was used before for another request, whose fate must be asked: {said}"
                )
            return NotSent(why=f"the merchant's billing did not take the charge: {said}", outage=False)
        return Unknown(why=f"the merchant's billing failed at the charge: {self._said(answer)}")

    def look_up(self, request: ChargeRequest) -> LookUpAnswer:
        """What became of an attempt. Never charges."""
        answer = self._call("GET", f"/charges/{_segment(request.attempt_id)}")
        if not isinstance(answer, Answer):
            return answer
        if answer.status == 404:
            return NeverReceived()
        if answer.status in _OK:
            return _told(answer, request.attempt_id)
        return Unknown(
            why=f"the merchant's billing did not say what became of the charge: {self._said(answer)}"
        )

    def debt(self, debt_id: str) -> DebtState | NotSent | Unknown:
        """What is still due."""
        answer = self._call("GET", f"/debts/{_segment(debt_id)}")
        if not isinstance(answer, Answer):
            return answer
        if answer.status == 404:
            return NotSent(
                why=f"the merchant's billing knows no debt {debt_id!r}; check its id there", outage=False
            )
        if answer.status not in _OK:
            return Unknown(why=f"the merchant's billing did not say what is due: {self._said(answer)}")
        try:
            due = msgspec.json.decode(answer.body, type=_Due)
        except (msgspec.DecodeError, UnicodeDecodeError) as e:
            return Unknown(why=f"what the merchant's billing says is due cannot be read: {e}")
        if not is_currency(due.currency):
            return Unknown(why="what is due is in no currency of three capital letters (ISO 4217)")
        match due.status:
            case "open" | "paid" | "void":
                return DebtState(
                    status=due.status, amount_due_minor=due.amount_due_minor, currency=due.currency
                )
        return Unknown(why=f"the debt's status is {due.status[:40]!r}; it must be open, paid or void")

    def end(self, subscription_id: str, action: str, key: str) -> EndingAnswer:
        """Carries out `cancel`, `pause`, `downgrade` or `resume`; a second time changes nothing."""
        if action not in _ENDED_AS:
            return EndingRefused(
                why=f"there is no ending {action!r} at a biller; it is one of {', '.join(_ENDED_AS)}"
            )
        answer = self._call(
            "POST", f"/subscriptions/{_segment(subscription_id)}/{action}", body=b"{}", key=key
        )
        if not isinstance(answer, Answer):
            return answer
        now = _status(answer)
        if answer.status in _OK or answer.status == 204:
            return EndingDone(ref=now.ref)
        said = self._said(answer)
        if answer.status == 409 and (now.status in _ENDED_AS[action] or "already" in said.lower()):
            return EndingDone(ref=now.ref)
        if answer.status in _REFUSED | {409, 501}:
            return EndingRefused(why=f"the merchant's billing will not {action} {subscription_id!r}: {said}")
        return Unknown(why=f"the merchant's billing failed to {action}: {said}")

    def verify(self, raw: bytes, headers: Mapping[str, str], now: datetime) -> str:
        """The event's id when its Standard Webhooks signature is right. Raises `Refused` otherwise."""
        return self._signer.verify(raw, headers, now)

    def parse(self, raw: bytes) -> Event:
        """The event in our words. Raises `Refused` naming the field that is wrong."""
        return generic_events.read(raw)

    def complete(self, event: Event) -> Event:
        """Nothing is missing: the merchant sends whole events."""
        return event

    def method_form(self, *, customer_id: str, debt_id: str, return_url: str) -> NewMethodForm:
        """The merchant's own page, where there is one."""
        if self._method_url is None:
            return NewMethodForm(how="none")
        values = {"customer_id": customer_id, "debt_id": debt_id, "return_url": return_url}
        url = re.sub(r"\{(\w+)\}", lambda field: quote(values[field[1]], safe=""), self._method_url)
        return NewMethodForm(how="redirect", url=url)

    def method_given(self, *, customer_id: str, debt_id: str, form: Mapping[str, Any]) -> Method | None:
        """None: the merchant tells of a new method by `method.updated`."""
        return None

    def pay_page(
        self, *, customer_id: str, debt_id: str, method: Method | None, return_url: str
    ) -> NewMethodForm:
        """None: the charge is made by the merchant's billing, on session."""
        return NewMethodForm(how="none")

    def doctor(self) -> list[tuple[str, bool, str]]:
        """Whether the merchant's billing answers, and takes our token."""
        answer = self._call("GET", f"/debts/{_TEST_DEBT}")
        reached, taken = "the merchant's billing can be reached", "it takes our token"
        if isinstance(answer, Answer) and answer.status < 500:
            return [(reached, True, ""), (taken, True, "")]
        if isinstance(answer, NotSent) and "token" in answer.why:
            return [
                (reached, True, ""),
                (taken, False, f"{answer.why}; register the merchant again with the right one"),
            ]
        why = answer.why if isinstance(answer, NotSent | Unknown) else self._said(answer)
        return [(reached, False, f"{why}; check the URL, and that the billing runs and lets us in")]

    def _call(
        self, method: str, path: str, *, body: bytes | None = None, key: str | None = None
    ) -> Answer | NotSent | Unknown:
        """The answer, or what its absence means; a refused token and "later" mean the same for every call."""
        headers = self._headers if key is None else {**self._headers, "Idempotency-Key": key}
        answer = self._http.call(method, path, body=body, headers=headers)
        match answer:
            case NotOpened():
                return NotSent(why=answer.why)
            case Lost():
                return Unknown(why=answer.why)
        if answer.status in _TOKEN_REFUSED:
            return NotSent(why=f"the token is refused by the merchant's billing ({answer.status})")
        if answer.status == 429:
            return NotSent(
                why="the merchant's billing asks us to come later (429)", retry_after_s=answer.retry_after_s
            )
        return answer

    def _said(self, answer: Answer) -> str:
        """Status and the beginning of the body, on one line; a body that repeats our token is masked."""
        text = " ".join(answer.body[:2000].decode("utf-8", "replace").split())
        return f"{answer.status} {text.replace(self._token, '[token]')[:300]}".strip()

    def _settled(self, answer: Answer, request: ChargeRequest) -> ChargeAnswer:
        """409: nothing was charged because nothing is due, unless it was this very attempt that settled the debt."""
        earlier = self.look_up(request)
        if isinstance(earlier, Paid):
            return earlier
        match _status(answer).status:
            case "paid" | "void" as status:
                return Settled(status=status)
        due = self.debt(request.debt_id)
        if isinstance(due, DebtState) and due.status != "open":
            return Settled(status=due.status)
        return Unknown(why="the charge met a conflict (409), yet the debt is not known to be settled")


def _told(answer: Answer, attempt_id: str) -> Paid | Declined | Pending | Unknown:
    """The fate of the attempt as told in a body. What does not say so plainly is unknown."""
    try:
        told = msgspec.json.decode(answer.body, type=_Told)
    except (msgspec.DecodeError, UnicodeDecodeError) as e:
        return Unknown(why=f"the answer of the merchant's billing cannot be read: {e}")
    if told.attempt_id not in (None, attempt_id):
        return Unknown(why="the merchant's billing answered about another attempt")
    ref = _text(told.ref)
    match told.status:
        case "paid":
            return Paid(ref=ref)
        case "pending":
            return Pending(ref=ref)
        case "declined":
            return Declined(
                ref=ref,
                code=_text(told.code),
                # Response codes have two characters; one sent as a number has lost its zero.
                network_code=_text(told.network_code, digits=2),
                advice_code=_text(told.advice_code),
                message=told.message,
            )
    return Unknown(why=f"the charge's status is {told.status[:40]!r}; it must be paid, declined or pending")


def _text(code: str | int | None, *, digits: int = 1) -> str | None:
    if isinstance(code, int):
        return f"{code:0{digits}d}"
    return code or None


def _status(answer: Answer) -> _Status:
    """The `status` and `ref` of a body, where it has them."""
    try:
        return msgspec.json.decode(answer.body, type=_Status)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _Status()


def _segment(value: str) -> str:
    """One path segment; `.` and `..` too must not be read as directions."""
    return quote(value, safe="") if value not in (".", "..") else value.replace(".", "%2E")


def _checked_template(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError("method_url must begin with https:// or http:// and name a host")
    for field in re.findall(r"\{(\w*)\}", url):
        if field not in ("customer_id", "debt_id", "return_url"):
            raise ValueError(
                f"method_url has a field {field!r}; it knows {{customer_id}}, {{debt_id}}, {{return_url}}"
            )
    return url
