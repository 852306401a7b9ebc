"""How our mail stands with those who receive it, for the house and for one merchant: lines, with what mends them."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from email import message_from_bytes
from ssl import SSLContext
from urllib.parse import urlsplit

from recoup.channels.dns.doctor import TRY_AGAIN, attempt, examine, reply_line
from recoup.channels.dns.finding import Finding, Record, fail, ok, warn
from recoup.channels.dns.names import Names, Silent, organization, related
from recoup.channels.dns.reaching import Unreached, call, expiring, smtp_line
from recoup.channels.dns.senders import Sending
from recoup.channels.mime import Unsendable, compose
from recoup.channels.port import Mail
from recoup.engine.house import House
from recoup.engine.ids import new_id
from recoup.store.merchants import Merchant

LOCAL = ("127.0.0.1", "localhost", "::1", "0.0.0.0")  # noqa: S104  (recognised, not listened on)
ONE_CLICK = b"List-Unsubscribe=One-Click"


def house_lines(house: House, names: Names, trust: SSLContext | None = None) -> Iterator[Finding]:
    """What holds for everything this installation sends; nothing where mails are only captured."""
    sending = house.sending
    if sending is None:
        return
    yield from examine(names, sending)
    if sending.host is not None:
        yield attempt("TLS", lambda: smtp_line(names, sending, house.clock.now(), trust))


def merchant_lines(
    house: House,
    merchant: Merchant,
    names: Names,
    *,
    trust: SSLContext | None = None,
    port: int | None = None,
) -> Iterator[Finding]:
    """What holds for one merchant's mail: where answers go, where links lead, how it is unsubscribed from."""
    sending = house.sending
    support = merchant.brand.support or (sending.reply_to if sending else None)
    if support and "@" in support:
        yield attempt("Replies", lambda: reply_line(names, support))
    elif sending is not None:
        yield ok("Replies", f"questions are led to {support}")
    host, base_port, secure = _host(house, merchant)
    if host in LOCAL or not names.knows(host):
        yield warn(
            "Links", f"they lead to {host}, which customers cannot reach", _pay_domain(merchant, sending)
        )
        return
    if not secure:
        yield fail(
            "Links", f"they lead to {host} without encryption", "set RECOUP_BASE_URL to its https:// address"
        )
        return
    yield from _links(house, merchant, names, sending, (host, port or base_port), trust)


def _host(house: House, merchant: Merchant) -> tuple[str, int, bool]:
    """Where this merchant's links lead: host, port, and whether over TLS."""
    parts = urlsplit(house.links.at(merchant.brand.pay_domain))
    return parts.hostname or "", parts.port or 443, parts.scheme == "https"


def _links(
    house: House, merchant: Merchant, names: Names, sending: Sending | None, at: tuple[str, int], trust: SSLContext | None
) -> Iterator[Finding]:  # fmt: skip
    host, port = at
    now = house.clock.now()
    # Nobody has this id, so the page opens, says nothing of anybody, and one click changes nothing.
    nobody = house.links.token("prefs", merchant.id, new_id("nobody"), merchant.now(now) + timedelta(hours=1))
    path = f"/u/{nobody}"
    try:
        seen = call(names, host, path, port=port, trust=trust)
        clicked = call(names, host, path, method="POST", body=ONE_CLICK, port=port, trust=trust)
    except Silent as e:
        yield warn("Links", str(e), TRY_AGAIN)
        return
    except Unreached as e:
        yield fail(
            "Links",
            str(e),
            "let the name lead to this installation, with a certificate for it",
            *_leads(house, host),
        )
        return
    if seen.status != 200:
        says = f"{host} ({seen.address}) answers, and is not this installation: a page of ours is {seen.status} there"
        yield fail(
            "Links",
            says,
            "let the name lead here, and the proxy hand on the Host header",
            *_leads(house, host),
        )
        return
    yield _good(merchant, sending, host, seen.address, seen.good_until, now)
    yield _unsubscribe(house, merchant, now, clicked.status)


def _good(
    merchant: Merchant, sending: Sending | None, host: str, address: str, until: datetime, now: datetime
) -> Finding:
    if sending is not None and not related(host, sending.from_domain):
        says = f"they lead to {host}, which is of another organization than the sender {sending.from_domain}: filters look at that"
        own = Record(name=f"pay.{organization(sending.from_domain)}", type="CNAME", value=f"{host}.")
        return warn("Links", says, _pay_domain(merchant, sending), own)
    return expiring("Links", f"{host} ({address}) is this installation", until, now)


def _leads(house: House, host: str) -> tuple[Record, ...]:
    """The record that lets a merchant's own name lead to the house's; nothing where the house's own name is at fault."""
    home = urlsplit(house.links.base_url).hostname or ""
    if host == home or home in LOCAL:
        return ()
    return (Record(name=host, type="CNAME", value=f"{home}."),)


def _pay_domain(merchant: Merchant, sending: Sending | None) -> str:
    domain = f"pay.{organization(sending.from_domain)}" if sending else "pay.example.com"
    return f"run `recoup merchant change {merchant.name} --pay-domain {domain}`, and see docs/hosted-page.md"


def _unsubscribe(house: House, merchant: Merchant, now: datetime, clicked: int) -> Finding:
    """Looks at the headers of a letter as it would leave, and at what the one click was answered."""
    about = "Unsubscribe"
    sending = house.sending
    sender = f"billing@{sending.from_domain}" if sending else "billing@example.com"
    link = house.links.preferences(
        merchant.id, new_id("nobody"), merchant.now(now), domain=merchant.brand.pay_domain
    )
    letter = Mail(
        to=sender,
        subject="-",
        html="-",
        text="-",
        once_key="doctor",
        preferences_url=link,
        one_click=True,
        written_at=now,
    )
    try:
        shown = message_from_bytes(compose(letter, sender=sender).body)
    except Unsendable as e:
        return fail(
            about, f"a letter with our link cannot be sent: {e}", "correct RECOUP_BASE_URL or the pay domain"
        )
    if shown["List-Unsubscribe"] != f"<{link}>" or shown["List-Unsubscribe-Post"] != ONE_CLICK.decode():
        return fail(
            about,
            "letters carry no one-click link to unsubscribe",
            "links must be https://: set RECOUP_BASE_URL",
        )
    if clicked != 200:
        return fail(
            about, f"one click is answered {clicked} instead of 200", "let the proxy hand on POST to /u/"
        )
    return ok(about, "letters carry the one-click headers, and one click is answered")
