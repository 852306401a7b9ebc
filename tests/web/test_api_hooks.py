"""Webhook doors on a real server: signed or refused, stored once, answered after the commit."""

import http.client
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from threading import Barrier, Thread
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from recoup.engine.house import House
from recoup.psp.sandbox import Sandbox
from recoup.store import boxes, merchants
from recoup.store.engines import reading, writing
from recoup.store.merchants import Merchant
from recoup.store.tables import inbox
from tests.support import house as houses
from tests.support.house import BEGIN, view_json
from tests.support.waiting import HANGS_S
from tests.web.api import served


class Door:
    """A merchant's webhook door, and its provider in front of it."""

    def __init__(self, house: House, merchant: Merchant, port: int) -> None:
        self.house, self.merchant, self.port = house, merchant, port

    def signed(
        self, n: int | str, *, kind: str = "payment.failed", data: object = None, at: datetime | None = None
    ) -> tuple[bytes, dict[str, str]]:
        gateway = self.house.gateway(self.merchant)
        assert isinstance(gateway, Sandbox)
        return gateway.notice(
            kind,
            event_id=f"evt_{n}",
            at=at or self.house.clock.now(),
            data=view_json(n) if data is None else data,
        )

    def knock(
        self, raw: bytes, headers: Mapping[str, str], *, where: str | None = None, verb: str = "POST"
    ) -> tuple[int, dict[str, str], Any]:
        """(status, headers, JSON) of one delivery on a connection of its own."""
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            line.request(verb, where or f"/hooks/sandbox/{self.merchant.id}", body=raw, headers=dict(headers))
            answer = line.getresponse()
            body = answer.read()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, msgspec.json.decode(body)
        finally:
            line.close()

    def stored(self) -> int:
        with reading(self.house.db) as tx:
            return int(tx.execute(sa.select(sa.func.count()).select_from(inbox)).scalar_one())


@contextmanager
def door_on(database_url: str) -> Iterator[Door]:
    """A house served by a real server on a free port."""
    with houses.standing(database_url) as house:
        merchant = houses.add_merchant(house)
        with served(house) as port:
            yield Door(house, merchant, port)


@pytest.fixture
def door(database_url: str) -> Iterator[Door]:
    with door_on(database_url) as made:
        yield made


@pytest.fixture
def lite(sqlite_url: str) -> Iterator[Door]:
    with door_on(sqlite_url) as made:
        yield made


def refused(answer: tuple[int, dict[str, str], Any], status: int) -> str:
    got, headers, document = answer
    assert (got, headers["content-type"]) == (status, "application/problem+json")
    assert document["status"] == status
    return str(document["detail"])


def test_a_signed_webhook_is_stored_before_it_is_answered_and_opens_a_case(door: Door) -> None:
    raw, headers = door.signed(1)
    assert door.knock(raw, headers)[0] == 200
    with reading(door.house.db) as tx:
        row = tx.execute(sa.select(inbox)).one()
    assert (row.event_id, row.raw, row.status, row.received_at) == ("evt_1", raw, "new", BEGIN)
    houses.settle(door.house, door.merchant)
    assert houses.case_of(door.house, door.merchant, "c_1").state == "waiting"


def test_a_forged_webhook_is_refused_and_not_stored(door: Door) -> None:
    raw, headers = door.signed(1)
    refused(door.knock(raw + b" ", headers), 400)
    refused(door.knock(raw, {**headers, "webhook-signature": "v1,AAAA"}), 400)
    refused(door.knock(raw, {}), 400)
    refused(door.knock(raw, {**headers, "webhook-id": "evt_2"}), 400)
    old, old_headers = door.signed(1, at=BEGIN - timedelta(minutes=6))
    assert "behind our clock" in refused(door.knock(old, old_headers), 400)
    assert door.stored() == 0


def test_an_unknown_address_is_404(lite: Door) -> None:
    raw, headers = lite.signed(1)
    for where in (
        "/hooks/sandbox/m_none",
        f"/hooks/stripe/{lite.merchant.id}",
        "/hooks/sandbox",
        "/hooks/sandbox/%00",
    ):
        refused(lite.knock(raw, headers, where=where), 404)
    _, allowed, _ = answer = lite.knock(b"", {}, verb="GET")
    refused(answer, 405)
    assert allowed["allow"] == "POST"
    assert lite.knock(raw, headers, where=f"/hooks/sandbox/{lite.merchant.name}")[0] == 200


def test_a_megabyte_is_enough(lite: Door) -> None:
    wide = {"text": "x" * (1024 * 1024 - 200)}
    raw, headers = lite.signed("wide", data=wide)
    assert len(raw) < 1024 * 1024
    assert lite.knock(raw, headers)[0] == 200
    raw, headers = lite.signed("wider", data={"text": "x" * 1024 * 1024})
    assert "1048576" in refused(lite.knock(raw, headers), 413)
    assert lite.stored() == 1


def test_without_a_length_a_megabyte_is_enough_too(lite: Door) -> None:
    with socket.create_connection(("127.0.0.1", lite.port), timeout=30) as line:
        head = f"POST /hooks/sandbox/{lite.merchant.id} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        line.sendall(head.encode())
        chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
        try:
            for _ in range(200):
                line.sendall(chunk)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it stopped listening, which is right
        assert line.recv(100).startswith(b"HTTP/1.1 413")
    assert lite.stored() == 0


def test_the_same_webhook_at_once_is_stored_once(door: Door) -> None:
    deliveries = [door.signed(n) for n in range(25)] * 2
    start = Barrier(10)
    answers: list[int] = []

    def deliver(share: list[tuple[bytes, dict[str, str]]]) -> None:
        start.wait()
        answers.extend(door.knock(raw, headers)[0] for raw, headers in share)

    threads = [Thread(target=deliver, args=(deliveries[n::10],)) for n in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 50
    assert door.stored() == 25
    houses.settle(door.house, door.merchant)
    assert set(houses.states(door.house, door.merchant, [f"c_{n}" for n in range(25)]).values()) == {
        "waiting"
    }


def test_a_new_hook_secret_counts_at_once(lite: Door) -> None:
    assert lite.knock(*lite.signed(1))[0] == 200
    account = lite.house.vault.open(lite.merchant.account)
    fresh = {**account, "hook_secret": "whsec_" + "QUJD" * 8}
    with writing(lite.house.db) as tx:
        merchants.change(tx, lite.merchant.id, account=lite.house.vault.seal(fresh))
        lite.merchant = merchants.get(tx, lite.merchant.id)
    old = Sandbox.from_account(account).notice(
        "payment.failed", event_id="evt_old", at=BEGIN, data=view_json(2)
    )
    assert lite.knock(*lite.signed(3))[0] == 200
    refused(lite.knock(*old), 400)
    assert lite.stored() == 2


def test_a_webhook_bears_the_merchants_own_time(lite: Door) -> None:
    then = BEGIN - timedelta(days=100)
    lite.merchant = houses.add_merchant(lite.house, "timely", test_clock=then)
    assert lite.knock(*lite.signed(1))[0] == 200
    with writing(lite.house.db) as tx:
        merchants.change(tx, lite.merchant.id, clock_now=then + timedelta(days=1))
    assert lite.knock(*lite.signed(2))[0] == 200
    with reading(lite.house.db) as tx:
        times = list(tx.execute(sa.select(inbox.c.received_at).order_by(inbox.c.event_id)).scalars())
    assert times == [then, then + timedelta(days=1)]


def test_one_that_cannot_be_written_loses_no_other(lite: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    real, gate = boxes.receive_all, threading.Event()

    def poisoned(connection: Any, arrived: Any) -> int:
        assert gate.wait(HANGS_S)
        if any(a.event_id == "evt_3" for a in arrived):
            raise ValueError("cannot be written")
        return real(connection, arrived)

    monkeypatch.setattr(boxes, "receive_all", poisoned)
    answers: dict[int, int] = {}

    def deliver(n: int) -> None:
        answers[n] = lite.knock(*lite.signed(n))[0]

    threads = [Thread(target=deliver, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)  # the first is being written, the others wait for the next commit together
    gate.set()
    for thread in threads:
        thread.join()
    assert answers == {0: 200, 1: 200, 2: 200, 3: 500, 4: 200, 5: 200}
    assert lite.stored() == 5


def test_a_database_in_trouble_is_503_and_the_provider_may_come_again(
    lite: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(connection: Any, arrived: Any) -> int:
        raise sa.exc.OperationalError("INSERT", {}, Exception("database is locked"))

    raw, headers = lite.signed(1)
    with monkeypatch.context() as patch:
        patch.setattr(boxes, "receive_all", locked)
        answer = lite.knock(raw, headers)
        refused(answer, 503)
        assert answer[1]["retry-after"] == "5"
    assert lite.knock(raw, headers)[0] == 200
    assert lite.stored() == 1
