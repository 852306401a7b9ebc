"""What customers read: right facts in every currency and zone, nothing forbidden, HTML and text alike."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import pytest

from recoup.channels.colours import contrast, palette
from recoup.channels.facts import CAUSES, DEADLINE_ACTIONS, BadFacts, Item, MessageFacts
from recoup.channels.formats import money
from recoup.channels.port import Rendered
from recoup.channels.render import compile_page, render
from recoup.channels.words import KINDS, NotToBeSaid, choose_words, kind_of

PAY = "https://pay.example.com/pay/token?a=1&b=2"
FORBIDDEN = re.compile(
    r"fraud|stolen|theft|thief|lost|decease|dead|death|suspect|illegal|police|debt|dunning|collections?\b|overdue|insufficient|funds"
    r"|decline|refus|fail|penalt|immediately|urgent|warning|must\b|your fault|\b(05|51|41|43|59)\b|_",
    re.IGNORECASE,
)


def facts(**values: Any) -> MessageFacts:
    usual: dict[str, Any] = {
        "merchant": "Acme", "support": "help@acme.example", "amount_minor": 4900, "currency": "EUR", "locale": "en-GB",
        "timezone": "Europe/Berlin", "failed_at": datetime(2026, 11, 1, 0, 0, 4, tzinfo=UTC), "cause": "insufficient_funds",
        "pay_url": PAY, "what": "Acme Pro, November", "method_label": "Visa ending 4242",
    }  # fmt: skip
    return MessageFacts(**{**usual, **values})


def facts_for(step: str, **values: Any) -> MessageFacts:
    """Facts with what this kind of message cannot do without."""
    two = (
        Item(what="Acme Pro, October", amount_minor=4900, currency="EUR"),
        Item(what="Acme Pro, November", amount_minor=4900, currency="EUR"),
    )
    needed: dict[str, dict[str, Any]] = {
        "card_expiring": {"expires": "2026-12"},
        "digest": {"items": two},
        "pre_debit_notice": {"rail": "sepa_debit", "next_try_at": datetime(2026, 11, 10, 9, tzinfo=UTC)},
    }
    return facts(**{**needed.get(step, {}), **values})


class Page(HTMLParser):
    """What a reader of the HTML gets: its visible words, links and images."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.links: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.lang: str | None = None
        self.dir: str | None = None
        self._hidden = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self._hidden += tag in ("style", "title")
        if tag == "html":
            self.lang = values["lang"]
            self.dir = values["dir"]
        if tag == "a":
            self.links.append(values["href"] or "")
        if tag == "img":
            self.images.append(values)

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("style", "title")

    def handle_data(self, data: str) -> None:
        if not self._hidden and data.strip():
            self.words.append(data.strip())

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def everything(message: Rendered) -> str:
    return f"{message.subject} {message.preheader} {Page(message.html).text} {message.text}"


@pytest.mark.parametrize(
    ("amount", "currency", "locale", "shown"),
    [
        (4900, "EUR", "de", "49,00 €"),
        (4900, "EUR", "de-AT", "€ 49,00"),
        (123456, "EUR", "fr-FR", "1 234,56 €"),
        (4900, "EUR", "en-IE", "€49.00"),
        (4900, "JPY", "ja", "¥4,900"),
        (4900, "JPY", "en-US", "¥4,900"),
        (4900, "KWD", "en-US", "KWD 4.900"),
        (123456789, "KWD", "en-GB", "KWD 123,456.789"),
        (123450, "RSD", "en-GB", "RSD 1,234.50"),
        (4900, "HUF", "hu", "49,00 Ft"),
        (5, "USD", "en-US", "$0.05"),
        (4900, "USD", "de", "49,00 $"),
        (4900, "USD", "en-CA", "US$49.00"),
        (10000000, "INR", "en-IN", "₹1,00,000.00"),
        (4900, "XXQ", "en", "XXQ 49.00"),
        (4900, "EUR", "no such locale", "€49.00"),
        (4900, "EUR", "", "€49.00"),
    ],
)
def test_money_as_the_reader_is_used_to(amount: int, currency: str, locale: str, shown: str) -> None:
    assert " ".join(money(amount, currency, locale).replace("￥", "¥").split()) == shown
    message = render("soft_notice", facts(amount_minor=amount, currency=currency, locale=locale))
    for text in (message.text, Page(message.html).text):
        assert shown in " ".join(text.replace("￥", "¥").split())


def test_right_to_left_money_stays_readable_in_a_left_to_right_sentence() -> None:
    assert not re.search("[\u0600-\u06ff\u200f\u202b]", money(4900, "EUR", "ar-EG"))
    assert money(4900, "EUR", "ar-EG", "ar").startswith("\u200f49.00")


@pytest.mark.parametrize(
    ("zone", "locale", "day"),
    [
        ("Europe/Berlin", "en-GB", "Tuesday, 10 November"),
        ("America/New_York", "en-US", "Monday, November 9"),
        ("Asia/Tokyo", "th", "Tuesday, November 10"),
        ("Pacific/Kiritimati", "fi", "Tuesday, 10 November"),
    ],
)
def test_days_are_the_customers_own(zone: str, locale: str, day: str) -> None:
    soft = facts(timezone=zone, locale=locale, next_try_at=datetime(2026, 11, 10, 4, 30, tzinfo=UTC))
    message = render("soft_notice", soft)
    for text in (message.subject, message.text, Page(message.html).text):
        assert day in text


def test_another_year_is_said() -> None:
    message = render("soft_notice", facts(next_try_at=datetime(2027, 1, 4, 9, tzinfo=UTC)))
    assert "Monday, 4 January 2027" in message.text
    assert "1 November we tried" in message.text


@pytest.mark.parametrize(
    ("deadline", "said"),
    [
        ("2026-11-21T08:00:00Z", "until Saturday, 21 November at 09:00"),
        ("2026-11-20T23:00:00Z", "until Friday, 20 November."),
        ("2026-11-20T23:04:13Z", "until Friday, 20 November."),
        ("2026-11-21T22:59:59Z", "until Saturday, 21 November."),
    ],
)
def test_a_deadline_never_promises_more_than_is_kept(deadline: str, said: str) -> None:
    message = render(
        "final_notice", facts(deadline=datetime.fromisoformat(deadline), deadline_action="cancel")
    )
    assert said in message.text
    assert "your subscription will end" in message.text


@pytest.mark.parametrize("cause", sorted(CAUSES - {"payer_deceased"}))
@pytest.mark.parametrize("step", [*KINDS, "pay_day_reminder"])
def test_no_cause_makes_a_message_say_what_it_must_not(step: str, cause: str) -> None:
    for more in (
        {},
        {
            "next_try_at": datetime(2026, 11, 10, 9, tzinfo=UTC),
            "deadline": datetime(2026, 11, 21, 9, tzinfo=UTC),
        },
    ):
        for action in (None, *DEADLINE_ACTIONS):
            message = render(step, facts_for(step, cause=cause, deadline_action=action, **more))
            said = everything(message).replace(PAY, "")
            assert not FORBIDDEN.search(said), FORBIDDEN.search(said)
            assert "None" not in said
            assert "{" not in said
            assert len(message.html.encode()) < 102_000


def test_the_reasons_banks_keep_to_themselves_read_like_any_other() -> None:
    for step in KINDS:
        said = {
            render(step, facts_for(step, cause=c)).text
            for c in ("lost_or_stolen", "fraud_suspected", "closed_account")
        }
        assert len(said) == 1


@pytest.mark.parametrize("step", [*KINDS, "anything"])
def test_nobody_writes_to_the_dead(step: str) -> None:
    with pytest.raises(NotToBeSaid):
        render(step, facts_for(step, cause="payer_deceased"))


def test_steps_of_the_merchants_own_naming_speak_by_their_cause() -> None:
    assert kind_of("day_3", facts(cause="expired_card")) == "action_needed"
    assert kind_of("day_3", facts(cause="generic_soft")) == "soft_notice"
    assert kind_of("soft_notice", facts(cause="expired_card")) == "action_needed"
    assert kind_of("final_notice", facts(cause="generic_soft")) == "final_notice"


@pytest.mark.parametrize("step", KINDS)
@pytest.mark.parametrize("cause", ["technical", "authentication_required", "revoked_authorisation"])
def test_the_text_twin_says_what_the_html_says(step: str, cause: str) -> None:
    given = facts_for(
        step, cause=cause, customer="Lena & Söhne <x>", deadline=datetime(2026, 11, 21, 9, tzinfo=UTC), deadline_action="pause",
        reference="INV-7", preferences_url="https://pay.example.com/u/1", test=True, paid_at=datetime(2026, 11, 3, tzinfo=UTC),
    )  # fmt: skip
    message, words = render(step, given), choose_words(step, given)
    page = Page(message.html)
    plain = " ".join(message.text.split())
    said = [
        words.title,
        words.greeting,
        *words.paragraphs,
        *words.closing,
        "This is a test message. No money moves.",
    ]
    for sentence in said:
        whole = " ".join(sentence.split())
        assert whole in plain
        assert whole in page.text.replace(" .", ".")
    for label, value in words.rows:
        assert f"{label}: {value}" in message.text
        assert f"{label} {value}" in page.text
    assert (PAY in message.text) == (step != "recovered")
    assert page.links.count(PAY) == (0 if step == "recovered" else 2)
    assert "https://pay.example.com/u/1" in page.links
    assert "https://pay.example.com/u/1" in message.text
    assert page.lang == "en"


def test_what_others_wrote_cannot_become_markup_templates_or_lines() -> None:
    nasty = "<script>alert(1)</script>{{ 7*7 }}{amount.__class__}%s\r\nBcc: eve@example.org\u202e"
    message = render(
        "soft_notice", facts(merchant=nasty, customer=nasty, what=nasty, method_label=nasty, reference=nasty)
    )
    assert "<script" not in message.html
    assert "49}}" not in message.html
    assert "{{ 7*7 }}" in Page(message.html).text
    assert "\n" not in message.subject
    assert "\u202e" not in everything(message)
    assert not re.search("^Bcc", message.text, re.MULTILINE)


def test_the_logo_has_the_merchants_name_and_nothing_else_is_fetched() -> None:
    message = render("soft_notice", facts(logo_url="https://acme.example/logo.png"))
    (image,) = Page(message.html).images
    assert (image["src"], image["alt"]) == ("https://acme.example/logo.png", "Acme")
    assert Page(render("soft_notice", facts()).html).images == []
    source = compile_page()
    assert "fonts.googleapis" not in source
    assert not re.search(r"<link|@import|url\(|<script", source)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("pay_url", "javascript:alert(1)"),
        ("logo_url", "data:text/html,x"),
        ("preferences_url", 'https://x"onload='),
        ("accent", "red;}"),
        ("currency", "eur"),
        ("timezone", "Mars/Base"),
        ("cause", "stolen_card"),
        ("deadline_action", "sue"),
        ("amount_minor", 0),
        ("failed_at", datetime(2026, 11, 1)),
        ("support", "help"),
        ("merchant", " "),
    ],
)
def test_facts_that_must_not_reach_a_customer_are_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(BadFacts, match=field):
        facts(**{field: value})


@pytest.mark.parametrize(
    "accent", ["#ffffff", "#000000", "#ffcc00", "#0b6e4f", "#777777", "#1f2a6d", "#ff0000"]
)
def test_every_accent_stays_readable_by_day_and_by_night(accent: str) -> None:
    colours = palette(accent)
    assert contrast(colours.accent, colours.ink) >= 4.5
    assert contrast(colours.dark_accent, colours.dark_ink) >= 4.5
    assert contrast(colours.accent, "#ffffff") >= 1.4
    assert contrast(colours.dark_accent, "#171c22") >= 3.0
    assert colours.accent in render("soft_notice", facts(accent=accent)).html


def test_the_same_facts_give_the_same_bytes() -> None:
    assert render("final_notice", facts()) == render("final_notice", facts())
