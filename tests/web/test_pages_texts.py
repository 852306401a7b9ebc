"""Messages → Texts: seen as customers will see it, changed by admins only, refused with the reason, sent to oneself."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from recoup.engine import recipients
from recoup.engine.house import House
from recoup.store import audit, contacts, wordings
from recoup.store.engines import reading, writing
from recoup.store.tables import mails
from tests.support.house import NEVER_PAYS, add_merchant, fail, standing, view
from tests.web import pages

WHERE = "/messages/texts"


@pytest.fixture
def house(database_url: str) -> Iterator[House]:
    with standing(database_url) as built:
        yield built


def test_words_are_kept_shown_and_taken_back(house: House) -> None:
    merchant = add_merchant(house)
    (case,) = fail(house, merchant, view(1), lives=NEVER_PAYS)
    pages.person(house, "anna@acme.example")
    with pages.client_of(house) as client:
        csrf = pages.signed_in(client, "anna@acme.example")
        asked = {"kind": "soft_notice", "language": "de", "case": case.id, "csrf": csrf}
        assert "49,00" in client.get(f"{WHERE}/html?kind=soft_notice&language=de&case={case.id}").text
        shown = client.get(f"{WHERE}?kind=soft_notice&language=de&case={case.id}").text
        assert "Someone 1" in shown
        assert "soft.subject" in shown
        kept = client.post(
            WHERE,
            data={**asked, "do": "save", "key": "soft.subject_retry", "words": "Huch, am {next_try} wieder"},
        )
        assert kept.status_code == 200
        assert "Huch, am " in kept.text
        assert "your words" in kept.text
        with reading(house.db) as tx:
            (one,) = wordings.listed(tx, merchant.id)
        assert (one.words, one.changed_by) == ("Huch, am {next_try} wieder", "staff:anna@acme.example")
        bad = client.post(
            WHERE, data={**asked, "do": "save", "key": "soft.subject", "words": "<b>{amount}</b>"}
        )
        assert bad.status_code == 422
        assert "it holds HTML" in bad.text
        back = client.post(WHERE, data={**asked, "do": "back", "key": "soft.subject_retry", "words": ""})
        assert "our words again" in back.text
        client.post(WHERE, data={**asked, "do": "back", "key": "soft.subject_retry", "words": ""})
        with reading(house.db) as tx:
            assert wordings.listed(tx, merchant.id) == []
            log = [e for e in audit.entries(tx, merchant.id) if e.what.startswith("wording.")]
        assert sorted((e.what, e.actor, e.subject) for e in log) == [
            ("wording.dropped", "staff:anna@acme.example", "de soft.subject_retry"),
            ("wording.kept", "staff:anna@acme.example", "de soft.subject_retry"),
        ]
        assert all("Huch, am {next_try} wieder" in e.body for e in log)


def test_a_preview_never_carries_the_customers_own_links(house: House) -> None:
    merchant = add_merchant(house)
    (case,) = fail(house, merchant, view(1), lives=NEVER_PAYS)
    pages.person(house)
    with pages.client_of(house) as client:
        pages.signed_in(client)
        html = client.get(f"{WHERE}/html?kind=final_notice&language=en&case={case.id}&light=dark")
        assert "/pay/sample" in html.text
        assert "prefers-color-scheme: dark" not in html.text
        assert "@media all" in html.text
        assert "/u/sample" in html.text
        assert html.text.count("/pay/") == html.text.count("/pay/sample")
        assert "sandbox" in html.headers["content-security-policy"]


def test_words_are_tried_while_they_are_typed(house: House) -> None:
    add_merchant(house)
    pages.person(house)
    with pages.client_of(house) as client:
        pages.signed_in(client)
        tried = client.get(f"{WHERE}/look?kind=recovered&language=en&key=recovered.title&words=Hooray")
        assert "key=recovered.title&amp;words=Hooray" in tried.text
        html = client.get(f"{WHERE}/html?kind=recovered&language=en&key=recovered.title&words=Hooray").text
        assert "Hooray" in html
        refused = client.get(
            f"{WHERE}/look?kind=recovered&language=en&key=recovered.title&words=%7Bx%7D"
        ).text
        assert "means nothing in this sentence" in refused


def test_only_admins_change_what_customers_read(house: House) -> None:
    add_merchant(house)
    pages.person(house)
    pages.person(house, "vera", "viewer")
    with pages.client_of(house) as client:
        csrf = pages.signed_in(client, "vera")
        words = {
            "kind": "recovered",
            "language": "en",
            "do": "save",
            "key": "recovered.title",
            "words": "Hooray",
        }
        assert client.post(WHERE, data={**words, "csrf": csrf}).status_code == 403
        assert "Keep these words" not in client.get(WHERE).text
        test = client.post(WHERE, data={"kind": "recovered", "language": "en", "do": "test", "csrf": csrf})
        assert test.status_code == 422
        assert "no mail address" in test.text


def test_a_message_can_be_sent_to_oneself(house: House) -> None:
    merchant = add_merchant(house)
    pages.person(house, "anna@acme.example")
    with pages.client_of(house) as client:
        csrf = pages.signed_in(client, "anna@acme.example")
        asked = {"kind": "digest", "language": "pl", "do": "test", "csrf": csrf}
        assert "Sent to anna@acme.example." in client.post(WHERE, data=asked).text
        assert client.post(WHERE, data={**asked, "csrf": "x"}).status_code == 403
    with reading(house.db) as tx:
        row = tx.execute(sa.select(mails).where(mails.c.merchant_id == merchant.id)).one()
    assert (row.recipient, row.case_id) == ("anna@acme.example", None)
    assert "3 płatności nadal oczekują" in row.subject
    assert "To jest wiadomość testowa" in row.text


def test_a_further_contact_chooses_for_itself(house: House) -> None:
    merchant = add_merchant(house)
    fail(house, merchant, view(1), lives=NEVER_PAYS)
    who = recipients.person("owner@company.example", "owner", "cus_1", None, "fr")
    with writing(house.db) as tx:
        contacts.replace(tx, merchant.id, "cus_1", [who], house.clock.now())
    link = house.links.contact_preferences(merchant.id, who.id, house.clock.now())
    path = link.removeprefix(house.links.base_url)
    with pages.client_of(house) as client:
        page = client.get(path).text
        assert "Désactiver les rappels" in page
        assert 'lang="fr"' in page
        click = client.post(
            path,
            content="List-Unsubscribe=One-Click",
            headers={"content-type": "application/x-www-form-urlencoded"},
        )
        assert click.status_code == 200
    with reading(house.db) as tx:
        after = contacts.get(tx, merchant.id, who.id)
    assert after is not None
    assert not after.reminders
