"""Tells what a machine opened or clicked from what a person did: proxies that fetch by themselves, scanners that follow
every link the moment a letter arrives. In doubt it was a machine: a person who is there comes back."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta

import msgspec

from recoup.channels.esp.port import MailEvent

PREFETCH = timedelta(seconds=10)
"""A proxy that fetches for its readers does so when they read, except in these seconds, when nobody has read yet."""
AT_ONCE = timedelta(seconds=2)
"""No letter is read so soon after it arrived."""
TOO_QUICK = timedelta(seconds=5)
"""No link is followed by a person so soon after the letter arrived."""
TOGETHER = timedelta(seconds=3)
"""Two different links within this of each other were followed by a scanner."""

_APPLE = "Mozilla/5.0"
_PROXIES = re.compile(r"GoogleImageProxy|ggpht\.com|YahooMailProxy", re.IGNORECASE)
_SCANNERS = re.compile(
    r"barracuda|mimecast|proofpoint|symantec|trend ?micro|fireeye|cloudmark|bitdefender|sophos|checkpoint|forcepoint|"
    r"headlesschrome|phantomjs|python-|curl/|wget|go-http-client|okhttp|apache-httpclient|libwww|java/|"
    r"\bbot\b|bot/|crawler|spider|scanner|linkcheck|safelinks",
    re.IGNORECASE,
)


class Followed(msgspec.Struct, frozen=True):
    """A click on another link of the same letter."""

    link: str
    at: datetime


def machine(event: MailEvent, arrived: datetime | None, others: Iterable[Followed] = ()) -> str | None:
    """Why this open or click was a machine's; None where a person may have done it.

    `arrived` is when the letter was delivered, or else sent, by the same clock as `event.at`; None: not known.
    """
    if event.machine is not None:
        return event.machine
    agent = (event.agent or "").strip()
    if _SCANNERS.search(agent):
        return "a security scanner or a program"
    since = event.at - arrived if event.at is not None and arrived is not None else None
    if event.what == "opened":
        if agent == _APPLE:
            return "Apple Mail fetches every picture by itself"
        if since is not None and since < (PREFETCH if _PROXIES.search(agent) else AT_ONCE):
            return f"{max(since.total_seconds(), 0):.0f} s after it arrived, before anybody could read it"
        return None
    if since is not None and since < TOO_QUICK:
        return f"{max(since.total_seconds(), 0):.0f} s after it arrived, faster than a person"
    for other in others:
        if other.link != event.link and event.at is not None and abs(event.at - other.at) <= TOGETHER:
            return "several links at the same moment, as scanners follow them"
    return None
