"""Opens and clicks of machines: proxies, scanners, anything faster than a person."""

from datetime import UTC, datetime, timedelta

import pytest

from recoup.channels.esp.port import MailEvent
from recoup.channels.machines import Followed, machine

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
BROWSER = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36"
GOOGLE = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
APPLE_MAIL = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)"


def seen(what: str, after: float | None, agent: str | None = BROWSER, **more: str) -> MailEvent:
    at = AT + timedelta(seconds=after) if after is not None else None
    return MailEvent(id="e", what=what, at=at, agent=agent, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("event", "person"),
    [
        (seen("opened", 300), True),
        (seen("opened", 60, APPLE_MAIL), True),
        (seen("opened", 3600, "Mozilla/5.0"), False),
        (seen("opened", 4, GOOGLE), False),
        (seen("opened", 40, GOOGLE), True),
        (seen("opened", 1), False),
        (seen("opened", -3), False),
        (seen("opened", None), True),
        (seen("opened", 300, None), True),
        (seen("opened", 300, "Barracuda Sentinel (EE)"), False),
        (seen("opened", 300, machine="the provider says so"), False),
        (seen("clicked", 30, link="a"), True),
        (seen("clicked", 3, link="a"), False),
        (seen("clicked", 300, "python-requests/2.34", link="a"), False),
        (seen("clicked", 300, "Mozilla/5.0 (compatible; SomeBot/2.1)", link="a"), False),
    ],
)
def test_persons_and_machines(event: MailEvent, person: bool) -> None:
    assert (machine(event, AT) is None) is person


def test_every_link_at_the_same_moment_is_a_scanner() -> None:
    one = seen("clicked", 60, link="pay")
    assert machine(one, AT, [Followed("preferences", AT + timedelta(seconds=61))]) is not None
    assert machine(one, AT, [Followed("preferences", AT + timedelta(seconds=90))]) is None
    assert machine(one, AT, [Followed("pay", AT + timedelta(seconds=61))]) is None


def test_where_nothing_is_known_of_the_arrival_only_the_agent_tells() -> None:
    assert machine(seen("clicked", 1, link="a"), None) is None
