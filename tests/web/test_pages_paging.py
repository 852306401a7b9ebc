"""Long lists, page by page: every row once, also where hundreds were written at one instant; files of any length."""

import csv
import io
import re
from collections.abc import Iterator
from datetime import timedelta
from html import unescape

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from recoup.domain import facts as f
from recoup.engine.house import House
from recoup.store import audit, tables
from recoup.store.engines import writing
from recoup.store.merchants import Merchant
from recoup.web.pages import audit as audit_pages
from recoup.web.pages import figures_out
from tests.insight.crafted import NOW, keep, standing_at_now, story
from tests.support.house import standing
from tests.web.pages import client_of, person, signed_in

NEXT = re.compile(r'<a class="btn[^"]*" href="([^"]+)" rel="next"')
MANY = 130


@pytest.fixture
def house(database_url: str) -> Iterator[House]:
    with standing(database_url) as made:
        yield made


@pytest.fixture
def merchant(house: House) -> Merchant:
    return standing_at_now(house)


def walked(client: TestClient[Litestar], address: str, row: str) -> list[str]:
    """What `row` finds on this page and on all behind it, in order."""
    found: list[str] = []
    while address:
        answer = client.get(address)
        assert answer.status_code == 200, answer.text
        found += re.findall(row, answer.text)
        further = NEXT.search(answer.text)
        address = unescape(further[1]) if further else ""
    return found


def visiting(house: House) -> Iterator[TestClient[Litestar]]:
    person(house)
    with client_of(house) as client:
        signed_in(client)
        yield client


client = pytest.fixture(visiting)


def test_messages_and_webhooks_of_one_instant_are_all_shown(
    house: House, merchant: Merchant, client: TestClient[Litestar]
) -> None:
    at = NOW - timedelta(days=1)
    with writing(house.db) as tx:
        tx.execute(tables.outbox.insert(), [
            {"merchant_id": merchant.id, "once_key": f"k_{n:03}:notice", "kind": "message", "case_id": f"c_{n:03}", "channel": "email",
             "step": "notice", "created_at": at if n else NOW, "status": "sent"}
            for n in range(MANY)
        ])  # fmt: skip
        tx.execute(tables.inbox.insert(), [
            {"merchant_id": merchant.id, "event_id": f"evt_{n:03}", "psp": "generic", "received_at": at if n else NOW, "raw": b"{}",
             "status": "done"}
            for n in range(MANY)
        ])  # fmt: skip
    told = walked(client, "/messages", r'href="/cases/(c_\d+)')
    assert list(dict.fromkeys(told)) == [f"c_{n:03}" for n in range(MANY)]
    assert walked(client, "/webhooks", r'href="/webhooks/(evt_\d+)"') == [f"evt_{n:03}" for n in range(MANY)]
    assert len(walked(client, "/webhooks?status=done", r'href="/webhooks/(evt_\d+)"')) == MANY


def test_cases_of_one_instant_are_all_shown(
    house: House, merchant: Merchant, client: TestClient[Litestar]
) -> None:
    ends = [("R", "EUR"), ("LI", "EUR"), ("O", "USD")]
    keep(
        house,
        merchant,
        [story(f"{n:03}", e, age=30, currency=c) for n in range(MANY) for e, c in [ends[n % 3]]],
    )
    row = r'<tr[^>]*>.*?href="/cases/(c_\d+)"'
    assert sorted(set(walked(client, "/cases", row))) == [f"c_{n:03}" for n in range(MANY)]
    dollars = walked(client, "/cases?currency=USD", row)
    assert sorted(set(dollars)) == [f"c_{n:03}" for n in range(MANY) if n % 3 == 2]
    assert sorted(set(walked(client, "/cases?state=lost", row))) == [
        f"c_{n:03}" for n in range(MANY) if n % 3 == 1
    ]


def test_the_audit_log_is_whole_on_pages_and_in_its_file(
    house: House, merchant: Merchant, client: TestClient[Litestar], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_pages, "READ", 40)
    monkeypatch.setattr(figures_out, "BLOCK", 30)
    notes = tuple(
        f.Noted(at=NOW - timedelta(hours=1), actor="staff:bea", text=f"=note {n}") for n in range(MANY)
    )
    keep(house, merchant, [story("1", "O", told=notes)])
    with writing(house.db) as tx:
        for n in range(MANY):
            audit.add(tx, merchant.id, id=f"x_{n:03}", at=NOW - timedelta(hours=1), actor="staff:bea", what="setting.changed",
                      subject=f"s_{n:03}", body={"value": n})  # fmt: skip
    on_pages = walked(client, "/audit?who=staff%3Abea", r"=note \d+|s_\d{3}")
    assert len(set(on_pages)) == len(on_pages) == 2 * MANY
    answer = client.get("/audit?who=staff%3Abea&as=csv")
    assert answer.headers["content-disposition"] == 'attachment; filename="audit.csv"'
    head, *rows = csv.reader(io.StringIO(answer.text))
    assert head == ["at", "actor", "what", "subject", "detail"]
    assert len(rows) == 2 * MANY
    assert len({(r[3], r[4]) for r in rows}) == 2 * MANY
