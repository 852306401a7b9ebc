"""Standard Webhooks signatures against the project's own published library."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from recoup.psp.port import Refused
from recoup.psp.webhook_signature import Signer

OLD, NEW = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_bmV3LXNlY3JldC1vZi0yNC1ieXRlcw"
AT = datetime(2026, 3, 10, 9, 0, tzinfo=UTC)


@given(
    st.text(min_size=1).filter(lambda t: t.isprintable()),
    st.text(),
    st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)),
)
def test_signs_as_the_published_library_does(event_id: str, body: str, at: datetime) -> None:
    theirs = Webhook(OLD).sign(event_id, at, body)
    assert Signer(OLD).headers(event_id, body.encode(), at.replace(tzinfo=UTC))["webhook-signature"] == theirs


def test_bodies_are_bytes_and_need_not_be_text() -> None:
    raw = b"\xff\x00\xfe"
    assert Signer(OLD).verify(raw, Signer(OLD).headers("e_1", raw, AT), AT) == "e_1"


def test_a_rotated_secret_is_accepted_and_the_first_signs() -> None:
    both = Signer([NEW, OLD])
    assert both.verify(b"{}", Signer(OLD).headers("e_1", b"{}", AT), AT) == "e_1"
    assert both.verify(b"{}", Signer(NEW).headers("e_1", b"{}", AT), AT) == "e_1"
    assert both.headers("e_1", b"{}", AT) == Signer(NEW).headers("e_1", b"{}", AT)
    with pytest.raises(Refused, match="no signature fits"):
        Signer(NEW).verify(b"{}", Signer(OLD).headers("e_1", b"{}", AT), AT)


def test_one_right_signature_among_others_is_enough() -> None:
    headers = Signer(OLD).headers("e_1", b"{}", AT)
    right = headers["webhook-signature"]
    for several in (f"v1,AAAA {right}", f"v1a,xyz v1,*** {right} nonsense", f"{right} v2,AAAA"):
        assert Signer(OLD).verify(b"{}", {**headers, "webhook-signature": several}, AT) == "e_1"
    asymmetric = {**headers, "webhook-signature": right.replace("v1,", "v1a,")}
    with pytest.raises(Refused, match="no signature fits"):
        Signer(OLD).verify(b"{}", asymmetric, AT)


@pytest.mark.parametrize(
    ("apart", "good"), [(-301, False), (-300, True), (0, True), (300, True), (301, False)]
)
def test_five_minutes_either_way(apart: int, good: bool) -> None:
    headers = Signer(OLD).headers("e_1", b"{}", AT + timedelta(seconds=apart))
    if good:
        assert Signer(OLD).verify(b"{}", headers, AT) == "e_1"
        return
    with pytest.raises(Refused, match=r"301 s (ahead of|behind) our clock"):
        Signer(OLD).verify(b"{}", headers, AT)


@pytest.mark.parametrize("stamp", ["", "now", "1e9", "-5", "nan", "inf", "١٢٣", "9" * 400])
def test_a_timestamp_that_is_none_is_refused(stamp: str) -> None:
    headers = {**Signer(OLD).headers("e_1", b"{}", AT), "webhook-timestamp": stamp}
    with pytest.raises(Refused):
        Signer(OLD).verify(b"{}", headers, AT)


def test_the_id_is_signed_too() -> None:
    headers = {**Signer(OLD).headers("e_1", b"{}", AT), "webhook-id": "e_2"}
    with pytest.raises(Refused, match="no signature fits"):
        Signer(OLD).verify(b"{}", headers, AT)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_c2hvcnQ=", "whsec_not base64 at all!!", "whsec_ä"])
def test_a_secret_that_is_none_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(ValueError, match="webhook secret") as refused:
        Signer(secret)
    assert not secret.removeprefix("whsec_") or secret not in str(refused.value)


def test_no_secret_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="no webhook secret"):
        Signer([])


def test_the_secret_is_not_shown() -> None:
    assert repr(Signer([NEW, OLD])) == "Signer(2 secrets)"
