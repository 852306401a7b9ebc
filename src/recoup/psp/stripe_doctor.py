"""Checks one Stripe account: the key and what it may read, the webhook endpoint, Stripe's own retries."""

from recoup.psp.port import NotSent, Unknown
from recoup.psp.stripe_events import NEEDED
from recoup.psp.stripe_shapes import Endpoint, Invoice, Page, Thing
from recoup.psp.stripe_wire import REFUSED, Said, Wire

Check = tuple[str, bool, str]
_READS = {
    "Invoices": "/v1/invoices",
    "PaymentIntents": "/v1/payment_intents",
    "Charges": "/v1/charges",
    "Customers": "/v1/customers",
    "Subscriptions": "/v1/subscriptions",
    "Events": "/v1/events",
    "Checkout Sessions": "/v1/checkout/sessions",
    "Invoice payments": "/v1/invoice_payments",
}
HOOK_PATH = "/hooks/stripe/"


def examine(wire: Wire, hook_url: str | None) -> list[Check]:
    """(what was checked, whether it is right, how to mend it). `hook_url`: ours, where it is known."""
    answers = {name: wire.get(path, Page[Thing], limit=1) for name, path in _READS.items()}
    checks = [_key(wire, answers)]
    if not checks[0][1]:
        return checks
    checks.append(_permissions(answers))
    return [*checks, *_endpoint(wire, hook_url), _native_retries(wire)]


def _permissions(answers: dict[str, Page[Thing] | Said | NotSent | Unknown]) -> Check:
    what = "the key may read what a charge needs"
    unread = {name: answer for name, answer in answers.items() if not isinstance(answer, Page)}
    lost = [answer.why for answer in unread.values() if isinstance(answer, Unknown)]
    if lost:
        return what, False, f"{lost[0]}; ask again later"
    return what, not unread, f"give the restricted key access to {', '.join(unread)}" if unread else ""


def _key(wire: Wire, answers: dict[str, Page[Thing] | Said | NotSent | Unknown]) -> Check:
    what = f"Stripe takes the key ({wire.mode} mode)"
    if any(isinstance(answer, Page) for answer in answers.values()):
        return what, True, ""
    first = next(iter(answers.values()))
    why = first.text if isinstance(first, Said) else getattr(first, "why", "")
    if not isinstance(first, Said) and REFUSED not in why:
        return what, False, f"{why}; see that this machine reaches Stripe, and ask again"
    return (
        what,
        False,
        f"{why}; make a restricted key in the Dashboard and register the account again with it",
    )


def _endpoint(wire: Wire, hook_url: str | None) -> list[Check]:
    what = "a webhook endpoint sends to this house"
    page = wire.get("/v1/webhook_endpoints", Page[Endpoint], limit=100)
    if not isinstance(page, Page):
        why = page.text if isinstance(page, Said) else page.why
        return [(what, False, f"it cannot be checked: {why}; give the key read access to Webhook Endpoints")]
    ours = [e for e in page.data if (e.url == hook_url if hook_url else HOOK_PATH in e.url)]
    enabled = [e for e in ours if e.status == "enabled"]
    if not enabled:
        fix = "switch it on again" if ours else f"add one for {hook_url or 'the hook_url of this merchant'}"
        return [(what, False, f"{fix} in the Dashboard under Developers, Webhooks")]
    sent = {event for e in enabled for event in e.enabled_events}
    missing = [] if "*" in sent else sorted(NEEDED - sent)
    fix = f"add these events to the endpoint: {', '.join(missing)}" if missing else ""
    return [(what, True, ""), ("the endpoint sends every event that is needed", not missing, fix)]


def _native_retries(wire: Wire) -> Check:
    """Stripe does not show its retry settings; an open invoice with a next attempt tells."""
    what = "Stripe's own retries are off"
    page = wire.get("/v1/invoices", Page[Invoice], status="open", limit=100)
    if not isinstance(page, Page):
        return what, False, "the open invoices could not be read; try again later"
    planned = [i.id for i in page.data if i.attempt_count > 0 and i.next_payment_attempt is not None]
    if not planned:
        return what, True, ""
    more = f" and {len(planned) - 1} more of the newest 100 open invoices" if len(planned) > 1 else ""
    fix = (
        f"Stripe plans to retry {planned[0]}{more} by itself; switch retries off under Billing, Revenue recovery, "
        "so that every try is decided in one place"
    )
    return what, False, fix
