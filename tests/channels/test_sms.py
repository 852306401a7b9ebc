"""Text messages: how long they are in every language, and what every answer of a provider means."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from recoup.channels.facts import BadFacts
from recoup.channels.languages import LANGUAGES
from recoup.channels.numbers import BadNumber, check_number, zones_of
from recoup.channels.port import NotSent, Refused, Sent, Sms, SmsDoor, Unclear
from recoup.channels.samples import sample_facts
from recoup.channels.short import SAID, render_sms, segments
from recoup.channels.sms import open_sms_door
from recoup.channels.sms_settings import BadSmsUrl, parse_sms_url
from recoup.channels.wording import BadWording, check
from recoup.channels.words import NotToBeSaid
from recoup.domain.policy import CATEGORIES
from recoup.engine.clock import SystemClock
from recoup.wire.transport import Transport
from tests.fakes.telco import Telco

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
LINK = "https://pay.northwind-traders.example/s/Ab3dE9xYz1w"
CAUSES = [c for c in CATEGORIES if c != "payer_deceased"]


def facts(step: str, language: str, cause: str = "insufficient_funds", **more: Any) -> Any:
    return sample_facts(
        step, language, cause, NOW, merchant="Northwind Traders Online", support="help@acme.example",
        pay_url="https://pay.example/pay/1", preferences_url="https://pay.example/u/1", **more,
    )  # fmt: skip


@pytest.mark.parametrize("language", LANGUAGES)
def test_two_segments_are_enough_in_every_language(language: str) -> None:
    """A long name, a long link, a time of day in the deadline, and the way to stop: still two."""
    for step in SAID:
        for cause in CAUSES:
            said = render_sms(step, facts(step, language, cause), LINK, replies=True)
            assert segments(said) <= 2, f"{step}, {cause}: {segments(said)} segments: {said}"
            assert "Northwind" in said
            assert said.count(LINK) == (step != "recovered")
            assert "{" not in said
            assert "STOP" in said


@pytest.mark.parametrize("cause", ["lost_or_stolen", "fraud_suspected"])
def test_no_cause_shows_in_a_text_message(cause: str) -> None:
    plain = render_sms("action_needed", facts("action_needed", "en", "not_permitted"), LINK)
    assert render_sms("action_needed", facts("action_needed", "en", cause), LINK) == plain


def test_texts_say_one_amount_and_when() -> None:
    said = render_sms("final_notice", facts("final_notice", "de"), LINK, replies=True)
    assert (
        said
        == f"Northwind Traders Online: Bitte zahlen Sie 49,00 € bis 10. Dez., 12:00 Uhr: {LINK} STOP beendet SMS."
    )
    said = render_sms("soft_notice", facts("soft_notice", "en"), LINK)
    assert said == (
        f"Northwind Traders Online: $49.00 did not go through. We try again on Nov 30. Pay or pick a day: {LINK}"
    )


def test_nobody_texts_the_dead_nor_woos_by_phone() -> None:
    for step, cause in (
        ("reminder", "payer_deceased"),
        ("win_back", ""),
        ("card_expiring", "payer_deceased"),
    ):
        with pytest.raises((NotToBeSaid, BadFacts)):
            render_sms(step, facts(step, "en", cause), LINK)


@pytest.mark.parametrize(
    ("text", "parts"),
    [("a" * 160, 1), ("a" * 161, 2), ("a" * 306, 2), ("a" * 307, 3), ("€" * 80, 1), ("€" * 81, 2), ("ł" * 70, 1), ("ł" * 71, 2),
     ("ł" * 134, 2), ("ł" * 135, 3), ("🙂" * 35, 1), ("🙂" * 36, 2)],
)  # fmt: skip
def test_segments_are_counted_as_networks_do(text: str, parts: int) -> None:
    assert segments(text) == parts


def test_own_words_for_texts_are_held_to_their_room() -> None:
    assert (
        check("de", "sms.reminder", "{merchant}: noch {amount} offen, {link}")
        == "{merchant}: noch {amount} offen, {link}"
    )
    for words, why in (
        ("noch {amount} offen, {link}", "merchant"),
        ("{merchant}: noch {amount} offen", "link"),
        ("{merchant} {amount} {link}" + "x" * 170, "too long for a text message"),
        ("{merchant} {amount} {link}" + "ł" * 80, "too long for a text message"),
    ):
        with pytest.raises(BadWording, match=why):
            check("de", "sms.reminder", words)


def test_numbers() -> None:
    assert check_number("+49 1511 2345678") == "+4915112345678"
    assert zones_of("+4915112345678") == ("Europe/Berlin",)
    for wrong in ("015112345678", "+4915", "+999123456789", "hello"):
        with pytest.raises(BadNumber):
            check_number(wrong)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("smtp://x", "does not begin with"),
        ("twilio://AC1234:hush@?from=Acme", "host is missing"),
        ("twilio://api.twilio.com?from=Acme", "account SID"),
        ("twilio://AC1234:hush@api.twilio.com", "from is no number"),
        ("twilio://AC1234:hush@api.twilio.com?from=AcmeCorporation", "from is no number"),
        ("twilio://AC1234:hush@api.twilio.com?from=Acme&x=1", "'x' is not known"),
        ("twilio+http://AC1234:hush@api.twilio.com?from=Acme", "unencrypted"),
        ("generic+https://gw.example/send?from=Acme", "signing secret"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_with_its_reason(url: str, why: str) -> None:
    with pytest.raises(BadSmsUrl, match=why) as refused:
        parse_sms_url(url)
    assert "hush" not in str(refused.value)


def test_settings_never_show_the_secret() -> None:
    for url in (
        "twilio://AC1234:hush@api.twilio.com?from=+4915112345678",
        "generic+https://whsec_hush@gw.example/s?from=Acme",
    ):
        settings = parse_sms_url(url)
        assert "hush" in settings.secret
        assert "hush" not in repr(settings)
    assert parse_sms_url("twilio://AC1234:hush@api.twilio.com?from=+4915112345678").takes_replies
    assert not parse_sms_url("twilio://AC1234:hush@api.twilio.com?from=Acme").takes_replies


@pytest.fixture
def telco() -> Iterator[Telco]:
    with Telco().running() as running:
        yield running


def door(url: str, **how: float) -> SmsDoor:
    settings = parse_sms_url(url)
    return open_sms_door(settings, Transport(settings.origin, **how), SystemClock().now)  # type: ignore[arg-type]


def message(nth: int = 1, to: str = "+4915112345678") -> Sms:
    return Sms(
        to=to,
        text=f"Zahlung offen: 49 € {LINK}",
        once_key=f"c_{nth}:reminder",
        status_url="https://us.example/sms/m?x=1",
    )


@pytest.mark.parametrize("kind", ["twilio_url", "gateway_url"])
def test_every_answer_means_one_of_four_things(telco: Telco, kind: str) -> None:
    telco.stopped.add("+4915112340002")
    telco.dead.add("+4915112340003")
    here = door(getattr(telco, kind))
    taken, stopped, dead = here.send_batch(
        [message(1), message(2, "+4915112340002"), message(3, "+4915112340003")]
    )
    assert taken == Sent(telco.texts[0].sid)
    assert isinstance(stopped, Refused)
    assert (stopped.about, stopped.suppressed, stopped.permanent) == ("recipient", True, True)
    assert isinstance(dead, Refused)
    assert (dead.about, dead.suppressed) == ("recipient", False)
    assert "4915112340003" not in dead.text
    telco.faults.extend(["busy", "broken", "deaf", "silent"])
    busy, broken, deaf, silent = here.send_batch([message(n) for n in range(4, 8)])
    assert isinstance(busy, NotSent)
    assert isinstance(broken, Unclear)
    assert isinstance(deaf, Unclear)
    assert isinstance(silent, Unclear)
    assert [t.text for t in telco.texts] == [message().text] * 2  # the first, and the one whose yes was lost
    assert telco.texts[0].status_url == message().status_url


def test_nobody_listens_means_not_sent() -> None:
    telco = Telco()
    with telco.running():
        url = telco.twilio_url
    (result,) = door(url).send_batch([message()])
    assert isinstance(result, NotSent)


def test_a_wrong_key_sends_nothing_and_blames_nobody(telco: Telco) -> None:
    (result,) = door(telco.twilio_url.replace(":a-token", ":another")).send_batch([message()])
    assert result == NotSent("401: Authenticate")
    assert telco.texts == []


@pytest.mark.parametrize("kind", ["twilio_url", "gateway_url"])
def test_a_door_can_be_tried_without_sending(telco: Telco, kind: str) -> None:
    assert door(getattr(telco, kind)).check() is None
    assert telco.texts == []


def test_messages_are_taken_one_at_a_time(telco: Telco) -> None:
    asked: list[int] = []

    def messages() -> Iterator[Sms]:
        for n in range(3):
            asked.append(n)
            yield message(n)

    for n, _ in enumerate(door(telco.twilio_url).send_batch(messages())):
        assert asked == list(range(n + 1))
        assert len(telco.texts) == n + 1
