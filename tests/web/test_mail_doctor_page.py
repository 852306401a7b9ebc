"""The mail doctor on a whole installation: our pages over real TLS, a real mail server, names from a real name server."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from playwright.sync_api import Browser, expect

from recoup.channels.dns.finding import Finding
from recoup.channels.dns.names import Names
from recoup.channels.dns.senders import sending_of
from recoup.channels.smtp_settings import parse_smtp_url
from recoup.engine.house import House
from recoup.engine.mail_checkup import house_lines, merchant_lines
from recoup.store import merchants
from recoup.store.engines import writing
from recoup.store.merchants import Brand, Merchant
from tests.channels.sinks import Keeper, mail_server
from tests.channels.test_mail_doctor import right
from tests.support import house as houses
from tests.support.certificates import GOOD_UNTIL, Certified, certified
from tests.support.name_server import NameServer, name_server
from tests.web import pages
from tests.web.test_pages_browser import fits, keep, quiet

PAY = "pay.acme.example"


@pytest.fixture
def server() -> Iterator[NameServer]:
    with name_server() as made:
        made.zone = right()
        made.zone[PAY] = {"A": ["127.0.0.1"]}
        yield made


@pytest.fixture
def house(sqlite_url: str, server: NameServer) -> Iterator[House]:
    with houses.standing(sqlite_url) as made:
        made.dns_server = server.address
        yield made


@pytest.fixture
def own(tmp_path: Path) -> Certified:
    return certified(tmp_path, PAY)


def branded(house: House, merchant: Merchant, **brand: str | None) -> Merchant:
    changed = msgspec.structs.replace(merchant.brand, **brand)
    with writing(house.db) as tx:
        merchants.change(tx, merchant.id, brand=msgspec.json.encode(changed).decode())
        return merchants.get(tx, merchant.id)


def sends(house: House, url: str = "smtp://u:p@mail.acme.example:587?from=billing@acme.example") -> None:
    house.sending = sending_of(parse_smtp_url(url))


def lines(house: House, merchant: Merchant, own: Certified, port: int | None = None) -> dict[str, Finding]:
    found = merchant_lines(house, merchant, Names(house.dns_server), trust=own.trusting(), port=port)
    return {line.about: line for line in found}


def over_tls(own: Certified) -> dict[str, str]:
    return {"ssl_certfile": str(own.certificate), "ssl_keyfile": str(own.key)}


def test_our_own_pages_are_found_and_one_click_works(house: House, own: Certified) -> None:
    merchant = houses.add_merchant(house, "acme", brand=Brand(name="Acme", support="help@acme.example"))
    sends(house)
    with pages.served(house, at=f"https://{PAY}", **over_tls(own)):
        found = lines(house, merchant, own)
        assert {a: f.state for a, f in found.items()} == {
            "Replies": "ok",
            "Links": "ok",
            "Unsubscribe": "ok",
        }, found
        assert "is this installation" in found["Links"].says
        houses.clock_of(house).to(GOOD_UNTIL - timedelta(days=3))
        assert "runs out on 10 January 2060" in lines(house, merchant, own)["Links"].says


def test_a_merchants_own_domain_is_reached_by_its_name(
    house: House, own: Certified, server: NameServer
) -> None:
    brand = Brand(name="Acme", support="https://acme.example/help", pay_domain=PAY)
    merchant = houses.add_merchant(house, "acme", brand=brand)
    sends(house)
    with pages.served(house, at="https://recoup.host.example", **over_tls(own)) as url:
        port = int(url.rsplit(":", 1)[1])
        assert lines(house, merchant, own, port)["Links"].state == "ok"
        del server.zone[PAY]
        line = lines(house, merchant, own, port)["Links"]
        assert "has no address" in line.says
        assert [str(r) for r in line.records] == [f"{PAY}. CNAME recoup.host.example."]


def test_another_installation_and_a_wrong_certificate_are_told(
    house: House, own: Certified, tmp_path: Path, server: NameServer
) -> None:
    merchant = houses.add_merchant(house, "acme")
    sends(house)
    with (
        houses.standing(f"sqlite:///{tmp_path / 'other.db'}") as other,
        pages.served(other, at=f"https://{PAY}", **over_tls(own)) as url,
    ):
        house.links.base_url = url
        assert "is not this installation" in lines(house, merchant, own)["Links"].says
        strange = certified(tmp_path, "other.example")
        line = lines(house, merchant, strange)["Links"]
        assert (line.state, "certificate" in line.says) == ("fail", True)
    house.links.base_url = "http://pay.acme.example"
    assert "without encryption" in lines(house, merchant, own)["Links"].says


def test_links_of_another_organization_are_told_how_to_be_our_own(
    house: House, tmp_path: Path, server: NameServer
) -> None:
    elsewhere = certified(tmp_path, "recoup.host.net")
    server.zone["recoup.host.net"] = {"A": ["127.0.0.1"]}
    merchant = houses.add_merchant(house, "acme")
    sends(house)
    with pages.served(house, at="https://recoup.host.net", **over_tls(elsewhere)):
        line = lines(house, merchant, elsewhere)["Links"]
    assert line.state == "warn"
    assert "another organization" in line.says
    assert [str(r) for r in line.records] == ["pay.acme.example. CNAME recoup.host.net."]


@pytest.mark.parametrize(
    ("url", "certificate", "state", "words"),
    [
        ("smtp://u:p@mail.acme.example:{}?from=b@acme.example", "mail.acme.example", "ok", "TLSv1.3"),
        ("smtp://u:p@mail.acme.example:{}?from=b@acme.example", "other.example", "fail", "is not good"),
        ("smtp://u:p@mail.acme.example:{}?from=b@acme.example", None, "fail", "offers no encryption"),
        ("smtp://u:p@mail.acme.example:{}?from=b@acme.example&starttls=no", None, "fail", "in the clear"),
        ("smtp://127.0.0.1:{}?from=b@acme.example", None, "ok", "on this machine"),
        (
            "smtps://u:p@mail.acme.example:9?from=b@acme.example",
            "mail.acme.example",
            "fail",
            "does not answer",
        ),
    ],
)
def test_the_way_to_the_mail_server(
    house: House,
    server: NameServer,
    tmp_path: Path,
    url: str,
    certificate: str | None,
    state: str,
    words: str,
) -> None:
    server.zone["mail.acme.example"]["A"] = ["127.0.0.1"]
    shown = certified(tmp_path, certificate) if certificate else None
    options = {"tls_context": shown.serving()} if shown else {}
    with mail_server(Keeper(), **options) as port:
        sends(house, url.format(port))
        found = list(house_lines(house, Names(house.dns_server), shown.trusting() if shown else None))
    (line,) = [f for f in found if f.about == "TLS"]
    assert (line.state, words in line.says) == (state, True), line


def test_the_page_says_what_it_would_look_at(house: House) -> None:
    merchant = houses.add_merchant(house, "acme")
    pages.person(house)
    assert merchant.brand.support
    with pages.client_of(house) as client:
        pages.signed_in(client)
        assert "captured, not sent" in client.get("/desk/mail?look=now").text
        sends(house)
        assert "Look now" in client.get("/desk/mail").text
        assert "/desk/mail" in client.get("/desk").text


def test_the_page_is_for_those_who_may_set_things(house: House) -> None:
    houses.add_merchant(house, "acme")
    pages.person(house)
    pages.person(house, "vera", "viewer")
    sends(house)
    with pages.client_of(house) as client:
        pages.signed_in(client, "vera")
        assert client.get("/desk/mail?look=now").status_code == 403


@pytest.mark.browser
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, False), (1280, True)])
def test_the_page_in_a_browser(
    house: House, server: NameServer, browser: Browser, width: int, dark: bool
) -> None:
    houses.add_merchant(house, "acme", brand=Brand(name="Acme", support="help@acme.example"))
    pages.person(house)
    server.zone["acme.example"]["TXT"] = ["v=spf1 include:_spf.google.com ~all", "v=spf1 ip4:192.0.2.10 -all"]
    server.zone["_dmarc.acme.example"]["TXT"] = ["v=DMARC1; p=none; rua=mailto:dmarc@acme.example"]
    server.zone["mail.acme.example"]["A"] = ["127.0.0.1"]
    sends(house, "smtps://u:p@mail.acme.example:9?from=billing@acme.example")
    with pages.served(house) as url:
        page = pages.browse(browser, width=width, dark=dark)
        pages.sign_in_with(page, url)
        page.goto(f"{url}/desk/mail")
        page.click("text=Look now")
        expect(page.locator("h1")).to_have_text("2 things to mend before mail is believed")
        expect(page.locator(".records").first).to_contain_text(
            "v=spf1 include:_spf.google.com ip4:192.0.2.10 -all"
        )
        assert fits(page)
        keep(page, f"mail-doctor-{width}{'-dark' if dark else ''}")
        assert quiet(page) == []
        page.context.close()
