"""RECOUP_SMTP_URL: what it means, and how a wrong one is named without repeating its secrets."""

from __future__ import annotations

import pytest

from recoup.channels.smtp_settings import BadSmtpUrl, SmtpSettings, parse_smtp_url


def test_everything_said() -> None:
    url = "smtp://ann%40x:p%3A%2F%40s@mail.example.com:2525?from=billing%2Beu@example.com&reply_to=h+1@example.com&name=Acme%20GmbH&starttls=yes"
    assert parse_smtp_url(url) == SmtpSettings(
        host="mail.example.com", port=2525, sender="billing+eu@example.com", tls=False, starttls="yes",
        user="ann@x", password="p:/@s", sender_name="Acme GmbH", reply_to="h+1@example.com",
    )  # fmt: skip


@pytest.mark.parametrize(("scheme", "port", "tls"), [("smtp", 587, False), ("smtps", 465, True)])
def test_little_said(scheme: str, port: int, tls: bool) -> None:
    got = parse_smtp_url(f"{scheme}://localhost?from=b@example.com")
    assert (got.port, got.tls, got.starttls, got.user, got.reply_to) == (port, tls, "auto", None, None)


def test_the_password_is_never_shown() -> None:
    got = parse_smtp_url("smtp://user:hunter2@h?from=b@example.com")
    assert "hunter2" not in repr(got) + str(got) + f"{got}"
    assert got.password == "hunter2"


@pytest.mark.parametrize(
    ("url", "part"),
    [
        ("", "smtp:// or smtps://"),
        ("http://u:hunter2@h?from=b@example.com", "smtp:// or smtps://"),
        ("smtp://?from=b@example.com", "host"),
        ("smtp://u:hunter2@h:port?from=b@example.com", "port"),
        ("smtp://u:hunter2@h:99999?from=b@example.com", "port"),
        ("smtp://u:hunt/er2@h?from=b@example.com", "port"),
        ("smtp://u:hunter2@h/x?from=b@example.com", "path"),
        ("smtp://u:hunter2@h", "from= is missing"),
        ("smtp://u:hunter2@h?from=nobody", "from= is not a mail address"),
        ("smtp://h?from=A%20<b@example.com>", "from= is not a mail address"),
        ("smtp://h?from=b@example.com%0ABcc:x@y", "from= is not a mail address"),
        ("smtp://h?from=b@example.com&reply_to=x", "reply_to= is not a mail address"),
        ("smtp://u@h?from=b@example.com", "password is missing"),
        ("smtp://:hunter2@h?from=b@example.com", "user name is missing"),
        ("smtp://h?from=b@example.com&starttls=maybe", "starttls="),
        ("smtps://h?from=b@example.com&starttls=yes", "starttls=yes"),
        ("smtp://h?from=b@example.com&tls=1", "'tls'"),
        ("smtp://h?from=b@example.com&from=c@example.com", "twice"),
        ("smtp://h?from=b@example.com&name=A%0AB", "name="),
    ],
)
def test_a_wrong_one_is_named(url: str, part: str) -> None:
    with pytest.raises(BadSmtpUrl, match="RECOUP_SMTP_URL cannot be used") as caught:
        parse_smtp_url(url)
    assert part in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "er2" not in str(caught.value)
