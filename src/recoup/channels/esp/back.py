"""The way back in: what a provider posts to us is checked and read by the account that `RECOUP_MAIL_URL` names."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from urllib.parse import urlsplit

from recoup.channels.esp.port import Fetch, Forged, MailEvent, Provider
from recoup.channels.esp.settings import ApiSettings
from recoup.channels.esp.sns import is_amazons
from recoup.wire.transport import Answer, Transport


class ReportDoor:
    """Takes the reports of one account at one provider. Safe to share between threads."""

    def __init__(self, own: ApiSettings, provider: Provider, fetch: Fetch | None = None) -> None:
        self._own = own
        self._provider = provider
        self._fetch = fetch or fetched

    @property
    def name(self) -> str:
        """The provider, as its address at our door begins."""
        return self._provider.name

    @property
    def shown(self) -> str:
        """The provider, as people write it."""
        return self._provider.shown

    @property
    def checks(self) -> bool:
        """Whether there is anything to check reports by; without it none is taken."""
        return self._own.hook is not None

    def verify(self, raw: bytes, headers: Mapping[str, str], now: datetime) -> str:
        """The id under which a report is kept once. Raises `Forged`."""
        if self._own.hook is None:
            raise Forged(
                "RECOUP_MAIL_URL has no hook=, so no report can be checked; set it as docs/mail.md says"
            )
        given = {name.lower(): value for name, value in headers.items()}
        return self._provider.verify(self._own, raw, given, now, self._fetch)

    def parse(self, raw: bytes) -> list[MailEvent]:
        """What a report says. Raises `Unreadable`."""
        return self._provider.parse(raw)

    def confirm(self, url: str) -> None:
        """Calls the address that confirms a subscription. Raises `OSError`."""
        self._fetch(url)


def fetched(url: str) -> bytes:
    """The body at an address of Amazon SNS: its certificate, the confirmation of a subscription. Raises `OSError`."""
    if not is_amazons(url):
        raise OSError("only addresses of Amazon SNS are called")
    parts = urlsplit(url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    answer = Transport(f"https://{parts.netloc}", most_connections=1).call("GET", path)
    if not isinstance(answer, Answer):
        raise OSError(answer.why)
    if answer.status != 200:
        raise OSError(f"{parts.hostname} answered {answer.status}")
    return answer.body
