"""RECOUP_MAIL_URL: what it means, and how a wrong one is named without repeating its secrets."""

import pytest

from recoup.channels.esp.settings import ApiSettings, BadMailUrl, parse_api_url
from recoup.channels.mail_url import parse_mail_url
from recoup.channels.smtp_settings import SmtpSettings
from recoup.settings import BadSetting, Settings


@pytest.mark.parametrize(
    ("url", "base", "place"),
    [
        ("postmark://T@?from=b@x.example", "https://api.postmarkapp.com", ""),
        ("sendgrid://SG.a-b_c@?from=b@x.example", "https://api.sendgrid.com", ""),
        ("sendgrid://T@?from=b@x.example&region=eu", "https://api.eu.sendgrid.com", ""),
        ("mailgun://T@mg.x.example?from=b@x.example", "https://api.mailgun.net", "mg.x.example"),
        ("mailgun://T@mg.x.example?from=b@x.example&region=eu", "https://api.eu.mailgun.net", "mg.x.example"),
        ("ses://A:S%2Fs@eu-west-1?from=b@x.example", "https://email.eu-west-1.amazonaws.com", "eu-west-1"),
        ("resend://re_T@?from=b@x.example", "https://api.resend.com", ""),
    ],
)
def test_each_provider_has_its_place(url: str, base: str, place: str) -> None:
    own = parse_mail_url(url)
    assert isinstance(own, ApiSettings)
    assert (own.base, own.place, own.sender) == (base, place, "b@x.example")


def test_everything_that_can_be_said() -> None:
    own = parse_api_url(
        "ses://AKID:a%2Fb+c@us-gov-west-1?from=b%2Bx@x.example&reply_to=h@x.example&name=Acme&set=main&hook=arn:aws:sns:x:1:t"
    )
    assert own == ApiSettings(
        provider="ses", key="AKID", secret="a/b+c", place="us-gov-west-1", lane="main",
        base="https://email.us-gov-west-1.amazonaws.com", sender="b+x@x.example", sender_name="Acme",
        reply_to="h@x.example", hook="arn:aws:sns:x:1:t",
    )  # fmt: skip


def test_smtp_may_stand_there_too() -> None:
    own = parse_mail_url("smtp://h?from=b@x.example&bounces=bounces@x.example")
    assert isinstance(own, SmtpSettings)
    assert own.envelope_sender("f" * 40, "b@x.example") == f"bounces+{'f' * 40}@x.example"
    assert parse_mail_url("") is None


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("pigeon://hunter2@?from=b@x.example", "no way of sending that is known"),
        ("postmark://?from=b@x.example", "the key is missing"),
        ("postmark://hunter2@", "from= is missing"),
        ("postmark://hunter2@?from=nobody", "from= is not a mail address"),
        ("postmark://hunter2@somewhere?from=b@x.example", "something after the @"),
        ("postmark://hunter2:more@?from=b@x.example", "a secret is for ses://"),
        ("ses://hunter2@eu-west-1?from=b@x.example", "a secret is for ses://"),
        ("ses://hunter2:hunter2@?from=b@x.example", "the region is missing"),
        ("mailgun://hunter2@?from=b@x.example", "the sending domain is missing"),
        ("sendgrid://hunter2@?from=b@x.example&region=mars", "region= is none of eu, us"),
        ("sendgrid://hunter2@?from=b@x.example&stream=x", "the option 'stream' is unknown"),
        ("postmark://hunter2@?from=b@x.example&api=http://elsewhere.example", "api= is no https"),
        ("postmark://hunter2@?from=b@x.example&from=c@x.example", "given twice"),
        ("smtp://hunter2@h?from=b@x.example", "RECOUP_MAIL_URL cannot be used: the password is missing"),
        (
            "smtp://h?from=b@x.example&bounces=a-name-far-too-long-for-it@x.example",
            "bounces= has more than 23",
        ),
    ],
)
def test_a_wrong_one_is_named_without_its_secrets(url: str, says: str) -> None:
    with pytest.raises(ValueError, match=r"RECOUP_(MAIL|SMTP)_URL cannot be used") as caught:
        parse_mail_url(url)
    assert says in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_nothing_secret_is_ever_shown() -> None:
    url = "ses://AKID:hunter2@eu-west-1?from=b@x.example&hook=hunter2&name=A"
    assert "hunter2" not in repr(parse_api_url(url))
    shown = Settings(mail_url=url).shown()["mail_url"]
    assert shown == "ses://…@eu-west-1?from=b@x.example&hook=…&name=A"


def test_mail_leaves_one_way() -> None:
    with pytest.raises(BadSetting, match="unset one"):
        Settings(mail_url="postmark://T@?from=b@x.example", smtp_url="smtp://h?from=b@x.example")


def test_bad_mail_url_is_a_value_error() -> None:
    assert issubclass(BadMailUrl, ValueError)
