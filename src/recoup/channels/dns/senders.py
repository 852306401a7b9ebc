"""Who hands our mail on, and what each of them needs in the sender's zone: SPF include, return path, DKIM selectors.

From the providers' own set-up pages as of November 2026; selectors are the ones they choose themselves.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from recoup.channels.dns.finding import Record, txt
from recoup.channels.esp.settings import ApiSettings
from recoup.channels.smtp_settings import SmtpSettings

COMMON_SELECTORS = (
    "default",
    "dkim",
    "mail",
    "k1",
    "s1",
    "s2",
    "selector1",
    "selector2",
    "key1",
    "smtp",
    "mx",
)
"""What mail servers are often told to sign with; one that is found is believed, none found proves nothing."""


class Path(msgspec.Struct, frozen=True, kw_only=True):
    """How a provider's return path is made the sender's own: a name below the sending domain (one of `labels`) that
    leads to `target`. Without labels the name is chosen by the provider and cannot be guessed."""

    labels: tuple[str, ...]
    how: Literal["CNAME", "MX"]
    target: str

    def records(self, domain: str, region: str) -> tuple[Record, ...]:
        """What to publish, under the first of the labels."""
        if not self.labels:
            return ()
        name = f"{self.labels[0]}.{domain}"
        if self.how == "CNAME":
            return (Record(name=name, type="CNAME", value=f"{self.target}."),)
        return (
            Record(name=name, type="MX", value=f"10 feedback-smtp.{region or 'us-east-1'}.{self.target}."),
            txt(name, f"v=spf1 include:{self.target} ~all"),
        )


class Sender(msgspec.Struct, frozen=True, kw_only=True):
    """One way of handing mail on. `include` is what SPF of the return path's domain must name; `path` is there where the
    provider puts its own return path unless told otherwise; `set_up` says where the provider shows the records."""

    shown: str
    include: str | None
    selectors: tuple[str, ...] = ()
    path: Path | None = None
    set_up: str = ""


_SES = Path(labels=("mail", "bounce", "bounces", "mailfrom", "ses"), how="MX", target="amazonses.com")
KNOWN: dict[str, Sender] = {
    "postmark": Sender(shown="Postmark", include=None, selectors=("pm",), set_up="Sender Signatures, DNS Settings",
                       path=Path(labels=("pm-bounces",), how="CNAME", target="pm.mtasv.net")),
    "sendgrid": Sender(shown="SendGrid", include=None, selectors=("s1", "s2"), set_up="Sender Authentication",
                       path=Path(labels=(), how="CNAME", target="sendgrid.net")),
    "mailgun": Sender(shown="Mailgun", include="mailgun.org", selectors=("k1", "mta", "mx", "pic", "smtp", "email", "mailo", "krs"),
                      set_up="Sending, Domain settings, DNS records"),
    "ses": Sender(shown="Amazon SES", include=None, path=_SES, set_up="Identities, Authentication"),
    "resend": Sender(shown="Resend", include=None, selectors=("resend",), set_up="Domains",
                     path=Path(labels=("send",), how="MX", target="amazonses.com")),
    "google": Sender(shown="Google Workspace", include="_spf.google.com", selectors=("google",),
                     set_up="Apps, Gmail, Authenticate email"),
    "microsoft": Sender(shown="Microsoft 365", include="spf.protection.outlook.com", selectors=("selector1", "selector2"),
                        set_up="Email authentication settings, DKIM"),
    "mandrill": Sender(shown="Mandrill", include="spf.mandrillapp.com", selectors=("mandrill", "mte1", "mte2"),
                       set_up="Sending Domains"),
    "fastmail": Sender(shown="Fastmail", include="spf.messagingengine.com", selectors=("fm1", "fm2", "fm3"), set_up="Domains"),
    "brevo": Sender(shown="Brevo", include="spf.brevo.com", selectors=("brevo1", "brevo2", "mail"), set_up="Senders, domains",
                    path=Path(labels=(), how="CNAME", target="sender-sib.com")),
}  # fmt: skip
_BY_HOST = {
    "postmarkapp.com": "postmark", "sendgrid.net": "sendgrid", "mailgun.org": "mailgun", "amazonaws.com": "ses",
    "resend.com": "resend", "gmail.com": "google", "google.com": "google", "office365.com": "microsoft",
    "outlook.com": "microsoft", "mandrillapp.com": "mandrill", "messagingengine.com": "fastmail",
    "fastmail.com": "fastmail", "brevo.com": "brevo", "sendinblue.com": "brevo",
}  # fmt: skip
OWN = Sender(shown="your mail server", include=None)


class Sending(msgspec.Struct, frozen=True, kw_only=True):
    """How our mail leaves: in whose name, through whom, and where what cannot be delivered goes back to.

    `host` is the SMTP server where there is one. `path_domain` is the return path's domain as far as we decide it.
    `region` is the provider's region. `selectors` are the DKIM selectors that somebody told us.
    """

    from_domain: str
    path_domain: str
    sender: Sender
    host: str | None = None
    port: int = 0
    tls: Literal["from the start", "STARTTLS", "no"] = "no"
    region: str = ""
    reply_to: str | None = None
    selectors: tuple[str, ...] = ()


def sending_of(own: SmtpSettings | ApiSettings, selectors: tuple[str, ...] = ()) -> Sending:
    """What the settings come to."""
    domain = own.sender.rpartition("@")[2].lower()
    if isinstance(own, ApiSettings):
        path = own.place if own.provider == "mailgun" else domain
        region = own.place if own.provider == "ses" else ""
        return Sending(
            from_domain=domain, path_domain=path, sender=KNOWN[own.provider], region=region,
            reply_to=own.reply_to or own.sender, selectors=selectors,
        )  # fmt: skip
    known = next((name for suffix, name in _BY_HOST.items() if f".{own.host}".endswith(f".{suffix}")), None)
    region = own.host.split(".")[1] if known == "ses" and own.host.count(".") > 2 else ""
    path = (own.bounces or own.sender).rpartition("@")[2].lower()
    return Sending(
        from_domain=domain, path_domain=path, sender=KNOWN[known] if known else OWN, host=own.host, port=own.port,
        tls="from the start" if own.tls else "no" if own.starttls == "no" else "STARTTLS", region=region,
        reply_to=own.reply_to or own.sender, selectors=selectors,
    )  # fmt: skip
