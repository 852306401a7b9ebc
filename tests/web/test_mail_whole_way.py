"""The whole way of a letter, with nothing left out: settings, worker, the provider over HTTP, and its signed report back."""

import http.client
from collections.abc import Iterator
from datetime import timedelta

import pytest

from recoup.channels.esp.settings import PROVIDERS
from recoup.cli.mail_checks import heard
from recoup.insight import audit
from recoup.store import boxes
from tests.engine.test_returned import TELLS
from tests.fakes import mail_reports as reports
from tests.fakes.mail_providers import Account, Fault, provider
from tests.support import house as houses
from tests.web.api import served


@pytest.fixture(params=PROVIDERS)
def account(request: pytest.FixtureRequest) -> Iterator[Account]:
    with provider(request.param) as built:
        yield built


def test_a_letter_leaves_and_what_became_of_it_comes_back(account: Account, sqlite_url: str) -> None:
    name = account.provider
    with houses.standing(sqlite_url, mail_url=account.url(hook=reports.hook(name))) as house:
        merchant = houses.add_merchant(house, policy=TELLS)
        assert [state for state, _, _ in heard(house, merchant)] == ["remark"]
        account.faults.append(Fault.BUSY)
        houses.fail(house, merchant, houses.view(1), houses.view(2), lives=houses.NEVER_PAYS)
        houses.live_until(house, merchant, house.clock.now() + timedelta(hours=3))
        sent = {letter.to: letter.mark for letter in account.letters}
        mark = boxes.mark_of(merchant.id, "c_1:soft_notice")
        assert len(account.letters) == 2, "not now was no refusal, and nothing went twice"
        assert sent["someone1@customer.example"] == mark
        if name == "ses":  # no network in tests: the certificate is at hand
            assert house.mail_back is not None
            house.mail_back._fetch = reports.Amazon()
        with served(house) as port:
            for what, minutes in (("delivered", 1), ("clicked", 4)):
                at = house.clock.now() + timedelta(minutes=minutes)
                raw, headers = reports.report(name, what, mark, at)
                line = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
                line.request("POST", f"/hooks/mail/{name}/{merchant.id}", body=raw, headers=headers)
                assert line.getresponse().status == 200
                line.close()
        houses.live_until(house, merchant, house.clock.now() + timedelta(minutes=10))
        (one,) = houses.case_of(house, merchant, "c_1").messages
        (two,) = houses.case_of(house, merchant, "c_2").messages
        assert (one.status, two.status) == ("clicked", "sent")
        assert [state for state, _, _ in heard(house, merchant)] == ["ok"]
        found = list(audit.audit(house.db, merchant, house.clock.now(), audit.Report()))
        assert [f for f in found if f.weight == "fault"] == []
