"""Messages by channel: counted against a ledger made by hand; each payment once, what nobody tells never as nothing."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from recoup.domain.view import Message
from recoup.engine.house import House
from recoup.insight import by_channel
from recoup.insight.by_channel import HEAD, ByChannel, Channels, paid_words, table
from recoup.insight.fresh import frame
from recoup.store import reports
from recoup.store.engines import writing
from recoup.store.merchants import Merchant
from recoup.store.tables import outbox
from tests.insight.crafted import NOW, Story, keep, standing_at_now, story
from tests.support import house as houses
from tests.web.pages import client_of, person, signed_in

Said = tuple[float, str, str]
"""Day of the case, channel, how far it got."""


@pytest.fixture
def house(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.setenv("RECOUP_INSIGHT_DIR", str(tmp_path))
    with houses.standing(database_url, clock=houses.FakeClock(NOW)) as made:
        yield made


@pytest.fixture
def merchant(house: House) -> Merchant:
    return standing_at_now(house)


def told(n: str, outcome: str, *said: Said, age: float = 20, day: float = 5, theirs: bool = False) -> Story:
    """A case with these messages of ours, or of others where `theirs`."""
    made = story(n, outcome, age=age, day=day)
    at = made.case.opened_at
    letters = tuple(
        Message(at=at + timedelta(days=d), channel=by, step="notice", status=status, id=None if theirs else f"c_{n}:{k}")
        for k, (d, by, status) in enumerate(said)
    )  # fmt: skip
    return msgspec.structs.replace(made, case=msgspec.structs.replace(made.case, messages=letters))


MAIL, TEXT, PUSH = "email", "sms", "push"
BOOKS = (
    # Paid on day 5. The text on day 4 was the last before it, though the letter of day 3 lies within 72 hours, too.
    told("a", "R", (0, MAIL, "opened"), (3, MAIL, "clicked"), (4, TEXT, "delivered"), (6, MAIL, "sent")),
    # The last one came back, so that the letter before it is the last that anybody got.
    told("b", "R", (4, MAIL, "delivered"), (4.5, MAIL, "bounced")),
    told("c", "R", (1, MAIL, "complained")),  # four days before the payment
    told("d", "LI", (1, MAIL, "delivered"), (2, PUSH, "sent"), (3, TEXT, "failed"), (4, TEXT, "withdrawn")),
    told("e", "O", (1, MAIL, "sent"), age=2),  # not 72 hours old
    told("f", "R", (1, MAIL, "sent"), age=3, day=2),  # nor this one, which was paid after
    told("g", "X", (1, MAIL, "sent")),  # excluded
    told("h", "LI", (1, MAIL, "sent"), age=100),  # longer ago than is asked
    told("i", "LI", (1, MAIL, "sent"), theirs=True),  # sent by others
)


def machines(house: House, merchant: Merchant) -> None:
    """What providers told: a machine opened the letter of d and, before a person did, the first of a."""
    with writing(house.db) as tx:
        for case, k, reached in (("d", 0, "delivered"), ("a", 0, "opened"), ("h", 0, "delivered")):
            at = NOW - timedelta(days=99 if case == "h" else 19)
            tx.execute(
                outbox.insert().values(
                    merchant_id=merchant.id, once_key=f"c_{case}:{k}", kind="message", case_id=f"c_{case}", channel=MAIL, body="{}",
                    created_at=at, status="sent", reached=reached, tries=1, done_at=at,
                )
            )  # fmt: skip
            for nth, (what, why) in enumerate((("opened", "a proxy"), ("clicked", "a scanner"))):
                reports.note(
                    tx,
                    reports.Report(
                        merchant_id=merchant.id, id=f"x:{case}{nth}", once_key=f"c_{case}:{k}", provider="postmark", what=what, at=at,
                        heard_at=at + timedelta(minutes=1), machine=why,
                    ),
                )  # fmt: skip


def found(house: House, merchant: Merchant, days: int = 90) -> Channels:
    return by_channel.of_merchant(house.db, merchant, frame(house, merchant, at_most=timedelta(0)), days=days)


def rows(told: Channels) -> dict[str, ByChannel]:
    return {r.channel: r for r in told.rows}


def test_each_channel_comes_to_what_the_books_say(house: House, merchant: Merchant) -> None:
    keep(house, merchant, list(BOOKS))
    machines(house, merchant)
    by = rows(found(house, merchant))
    mail, sms, push = by[MAIL], by[TEXT], by[PUSH]
    assert (mail.sent, mail.came_back, mail.reached) == (9, 1, 8)
    assert (mail.opened, mail.clicked, mail.complained) == (2, 1, 1)
    assert mail.machine == 1, "where a person opened it, too, it is the person's"
    assert (mail.ripe, mail.paid) == (6, 1), "the letter of b; that of a was not the last, f is too young"
    assert (sms.sent, sms.reached, sms.ripe, sms.paid) == (1, 1, 1, 1)
    assert (push.sent, push.reached, push.paid) == (1, 1, 0)
    for silent in (sms, push):
        assert (silent.opened, silent.clicked, silent.machine) == (None, None, None), "nobody tells of it"
    assert list(by) == [MAIL, PUSH, TEXT]
    assert paid_words(mail) == "1 of 6"


def test_a_span_takes_only_its_messages(house: House, merchant: Merchant) -> None:
    keep(house, merchant, list(BOOKS))
    machines(house, merchant)
    year = rows(found(house, merchant, days=365))[MAIL]
    assert (year.sent, year.machine) == (10, 2)


def test_mail_of_which_nothing_is_told_is_not_said_to_be_unread(house: House, merchant: Merchant) -> None:
    keep(house, merchant, [told("a", "R", (4, MAIL, "sent"))])
    (mail,) = found(house, merchant).rows
    assert (mail.reached, mail.opened, mail.clicked, mail.machine) == (1, None, None, None)


def test_enough_have_a_share_with_its_range(house: House, merchant: Merchant) -> None:
    keep(house, merchant, [told(str(n), "R" if n < 12 else "LI", (4, TEXT, "delivered")) for n in range(40)])
    (sms,) = found(house, merchant).rows
    assert paid_words(sms) == "12 of 40, 30% (18% to 45%)"
    (row,) = table(found(house, merchant))
    assert dict(zip(HEAD, row, strict=True))["share"] == 0.3


def test_page_and_file_say_the_same_and_no_more(house: House, merchant: Merchant) -> None:
    keep(house, merchant, list(BOOKS))
    machines(house, merchant)
    person(house)
    with client_of(house) as client:
        signed_in(client)
        page = client.get("/messages/channels").text
        assert "11 messages were sent in 90 days: 9 by e-mail, 1 by push, 1 by text message" in page
        assert "an order in time, not a cause" in page
        assert "1 by machines alone" in page
        assert "not told" in page
        file = client.get("/messages/channels.csv?days=365").text.splitlines()
        assert file[0] == ",".join(HEAD)
        assert file[1].startswith("email,10,1,9,2,2,1,1,7,1,")
        assert 'href="/messages/channels"' in client.get("/messages").text
        assert client.get("/messages/channels?days=nonsense").status_code == 200


def test_where_nothing_was_sent_the_page_says_so(house: House, merchant: Merchant) -> None:
    person(house)
    with client_of(house) as client:
        signed_in(client)
        assert "No message was sent in 90 days" in client.get("/messages/channels").text


def test_the_report_has_it(house: House, merchant: Merchant) -> None:
    from recoup.insight.page import page
    from recoup.insight.report import report

    keep(house, merchant, list(BOOKS))
    told = report(house, merchant)
    assert rows(told.channels)[MAIL].sent == 9
    assert "Messages by channel" in page(told)
    assert json.loads(msgspec.json.encode(told))["channels"]["caution"].startswith(
        "Paid after is an order in time"
    )
