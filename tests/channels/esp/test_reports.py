"""What the five providers report: checked by their real signatures, read by their documented fields."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from recoup.channels.esp.back import ReportDoor, fetched
from recoup.channels.esp.port import Forged, MailEvent, Unreadable
from recoup.channels.esp.registry import provider_of
from recoup.channels.esp.settings import PROVIDERS, parse_api_url
from tests.fakes.mail_providers import URLS
from tests.fakes.mail_reports import (
    CERTIFICATE_URL,
    KNOWN,
    PERSON,
    SVIX,
    TOPIC,
    Amazon,
    Posted,
    envelope,
    hook,
    report,
    signed,
)

NOW = datetime(2026, 3, 2, 9, 0, 5, tzinfo=UTC)
MARK = "0123456789abcdef0123456789abcdef01234567"
CASES = [(provider, what) for provider in PROVIDERS for what in KNOWN[provider]]


def back(provider: str, amazon: Amazon | None = None) -> ReportDoor:
    from urllib.parse import quote

    own = parse_api_url(f"{URLS[provider]}&hook={quote(hook(provider), safe='')}")
    return ReportDoor(own, provider_of(provider), amazon or Amazon())


def read(provider: str, posted: Posted) -> MailEvent:
    door = back(provider)
    door.verify(*posted, NOW)
    (event,) = door.parse(posted[0])
    return event


@pytest.mark.parametrize(("provider", "what"), CASES)
def test_every_kind_of_report_is_read(provider: str, what: str) -> None:
    event = read(provider, report(provider, what, MARK, NOW))
    meant = {"hard": "bounced", "soft": "bounced", "suppressed": "bounced"}.get(what, what)
    assert (event.what, event.mark, event.recipient) == (meant, MARK, "anna@customer.example")
    assert (event.permanent, event.suppressed) == (what in ("hard", "suppressed"), what == "suppressed")
    assert event.at is not None
    assert abs(event.at - NOW) < timedelta(seconds=1)
    if what in ("opened", "clicked"):
        assert event.agent == PERSON
    if what == "clicked":
        assert event.link == "https://pay.acme.example/pay/x"
    assert event.machine is None
    assert "@" not in event.says


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_changed_body_or_a_wrong_secret_is_refused(provider: str) -> None:
    raw, headers = report(provider, "hard", MARK, NOW)
    door = back(provider)
    kept = door.verify(raw, headers, NOW)
    assert kept == door.verify(raw, {k.upper(): v for k, v in headers.items()}, NOW)
    if provider in ("sendgrid", "ses", "resend"):  # the others' proofs do not cover the body
        with pytest.raises(Forged):
            door.verify(raw.replace(MARK.encode(), b"f" * 40), headers, NOW)
    if headers:
        with pytest.raises(Forged):
            door.verify(raw if provider != "ses" else raw.replace(b"Signature", b"Sign"), {}, NOW)
    own = parse_api_url(URLS[provider])
    with pytest.raises(Forged, match="hook="):
        ReportDoor(own, provider_of(provider), Amazon()).verify(raw, headers, NOW)


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"{}", b"null", b'{"event-data": 7}', b"\xff\xfe"])
def test_nonsense_is_refused_and_never_breaks(provider: str, raw: bytes) -> None:
    door = back(provider)
    try:
        door.verify(raw, {}, NOW)
    except Forged:
        pass
    else:
        raise AssertionError("nonsense was believed")
    try:
        events = door.parse(raw)
    except (Unreadable, Forged):
        return
    assert all(e.what == "other" for e in events)


def test_the_same_report_is_the_same_event_and_another_is_another() -> None:
    for provider in PROVIDERS:
        one, again = (read(provider, report(provider, "hard", MARK, NOW)) for _ in range(2))
        other = read(provider, report(provider, "hard", MARK, NOW + timedelta(seconds=1)))
        assert one == again
        assert one.id != other.id


def test_a_token_of_mailgun_is_taken_once_and_not_tomorrow() -> None:
    door, (raw, headers) = back("mailgun"), report("mailgun", "hard", MARK, NOW)
    forged = json.loads(raw)
    forged["event-data"]["user-variables"]["recoup"] = "f" * 40
    assert door.verify(json.dumps(forged).encode(), headers, NOW) == door.verify(raw, headers, NOW)
    with pytest.raises(Forged, match="another day"):
        door.verify(raw, headers, NOW + timedelta(days=2))


def test_resend_signs_as_standard_webhooks_does() -> None:
    """The same message signed by the library of the standard is believed."""
    raw, door = b'{"type":"email.delivered"}', back("resend")
    signature = Webhook(SVIX).sign("msg_1", NOW, raw.decode())
    given = {
        "svix-id": "msg_1",
        "svix-timestamp": str(int(NOW.timestamp())),
        "svix-signature": f"v1,AAAA {signature}",
    }
    door.verify(raw, given, NOW)
    with pytest.raises(Forged, match="these minutes"):
        door.verify(raw, given, NOW + timedelta(minutes=6))
    with pytest.raises(Forged, match="does not fit"):
        door.verify(raw + b" ", given, NOW)


@pytest.mark.parametrize("version", ["1", "2"])
def test_amazons_certificate_is_fetched_once_and_only_from_amazon(version: str) -> None:
    amazon = Amazon()
    door, raw = back("ses", amazon), envelope({"eventType": "Send"}, NOW, version=version)
    for _ in range(3):
        door.verify(raw, {}, NOW)
    assert amazon.asked == [CERTIFICATE_URL]


@pytest.mark.parametrize(
    "url",
    [
        "http://sns.eu-west-1.amazonaws.com/x.pem", "https://sns.eu-west-1.amazonaws.com.evil.example/x.pem",
        "https://evil.example/x.pem", "https://sns.eu-west-1.amazonaws.com@evil.example/x.pem",
        "https://sns.eu-west-1.amazonaws.com:8443/x.pem", "https://s3.amazonaws.com/x.pem", "https://[", "",
        "https://sns.eu-west-1.amazonaws.com/x.txt",
    ],
)  # fmt: skip
def test_a_certificate_from_elsewhere_is_not_even_fetched(url: str) -> None:
    amazon = Amazon()
    raw = json.dumps({**json.loads(envelope({"eventType": "Send"}, NOW)), "SigningCertURL": url}).encode()
    with pytest.raises(Forged, match="address of Amazon SNS"):
        back("ses", amazon).verify(raw, {}, NOW)
    assert amazon.asked == []


def test_another_topic_is_not_ours() -> None:
    raw = json.dumps({**json.loads(envelope("x", NOW)), "TopicArn": TOPIC + "2"}).encode()
    with pytest.raises(Forged, match="another SNS topic"):
        back("ses").verify(raw, {}, NOW)


def test_a_subscription_is_confirmed_at_amazon_only() -> None:
    amazon = Amazon()
    door = back("ses", amazon)
    raw = envelope("confirm", NOW, kind="SubscriptionConfirmation")
    door.verify(raw, {}, NOW)
    (event,) = door.parse(raw)
    assert event.what == "confirm"
    assert event.link is not None
    door.confirm(event.link)
    assert amazon.asked[-1].startswith("https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription")
    elsewhere = json.dumps({**json.loads(raw), "SubscribeURL": "https://evil.example/"}).encode()
    with pytest.raises(Unreadable):
        door.parse(elsewhere)
    with pytest.raises(OSError, match="only addresses of Amazon"):
        fetched("https://169.254.169.254/latest")


def test_what_providers_say_of_machines_is_kept() -> None:
    seen = read("sendgrid", report("sendgrid", "opened", MARK, NOW, sg_machine_open=True))
    assert seen.machine is not None
    bot: Any = {"client-info": {"user-agent": PERSON, "bot": "apple"}}
    assert read("mailgun", report("mailgun", "opened", MARK, NOW, **bot)).machine is not None


@pytest.mark.parametrize(
    ("reason", "because"),
    [("Unsubscribed Address", "unsubscribed"), ("Spam Reporting Address", "complaint"), ("Bounced Address", "bounce")],
)  # fmt: skip
def test_why_sendgrid_keeps_an_address_back(reason: str, because: str) -> None:
    event = read("sendgrid", report("sendgrid", "suppressed", MARK, NOW, reason=reason))
    assert (event.suppressed, event.because) == (True, because)


def test_sendgrid_tells_many_at_once() -> None:
    told = [*json.loads(report("sendgrid", "delivered", MARK, NOW)[0])] * 2
    told[1] = {**told[1], "event": "click", "url": "https://x.example", "sg_event_id": "two"}
    posted = signed("sendgrid", told, NOW)
    door = back("sendgrid")
    door.verify(*posted, NOW)
    assert [e.what for e in door.parse(posted[0])] == ["delivered", "clicked"]


def test_postmark_takes_a_reactivated_address_up_again() -> None:
    told = {
        "RecordType": "SubscriptionChange", "Recipient": "anna@customer.example", "SuppressSending": False,
        "ChangedAt": "2026-03-02T09:00:05Z", "Metadata": {},
    }  # fmt: skip
    assert read("postmark", signed("postmark", told, NOW)).what == "resubscribed"


def test_a_password_with_odd_characters_is_compared_as_it_is() -> None:
    raw, _ = report("postmark", "hard", MARK, NOW)
    wrong = {"Authorization": "Basic " + base64.b64encode(b"recoup:another").decode()}
    with pytest.raises(Forged, match="name and password"):
        back("postmark").verify(raw, wrong, NOW)
