"""Reads the one setting that says how mail leaves, `smtp://` or a provider's own, and opens that door."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from recoup.channels.esp.door import ApiDoor
from recoup.channels.esp.registry import provider_of
from recoup.channels.esp.settings import ApiSettings, BadMailUrl, parse_api_url
from recoup.channels.smtp import SmtpDoor
from recoup.channels.smtp_settings import BadSmtpUrl, SmtpSettings, parse_smtp_url

MailSettings = SmtpSettings | ApiSettings


def parse_mail_url(mail_url: str, smtp_url: str = "") -> MailSettings | None:
    """Settings from `RECOUP_MAIL_URL` or `RECOUP_SMTP_URL`; None where neither is set, and mails are captured.

    Raises `BadMailUrl`, `BadSmtpUrl`.
    """
    if smtp_url:
        return parse_smtp_url(smtp_url)
    if not mail_url:
        return None
    if mail_url.strip().startswith(("smtp://", "smtps://")):
        try:
            return parse_smtp_url(mail_url)
        except BadSmtpUrl as e:
            raise BadMailUrl(str(e).replace("RECOUP_SMTP_URL", "RECOUP_MAIL_URL", 1)) from e
    return parse_api_url(mail_url)


def open_door(own: MailSettings, clock: Callable[[], datetime]) -> SmtpDoor | ApiDoor:
    """The way of sending that `own` describes; threads may share it."""
    if isinstance(own, SmtpSettings):
        return SmtpDoor(own)
    return ApiDoor(own, provider_of(own.provider), clock)
