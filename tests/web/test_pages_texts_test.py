"""Messages → Texts → Test: words are written beside today's, refused with the reason, tested, looked at and promoted."""

from collections.abc import Iterator

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from recoup.decide.assignment import arm_of
from recoup.engine.house import House
from recoup.store import experiments, wordings
from recoup.store.engines import reading
from recoup.store.merchants import Merchant
from tests.support.house import NEVER_PAYS, add_merchant, fail, standing, view
from tests.web import pages

WHERE = "/messages/texts/test"
WORDS = "Kurz gefragt: {amount}?"


@pytest.fixture
def house(database_url: str) -> Iterator[House]:
    with standing(database_url) as built:
        yield built


def form(csrf: str, **over: str) -> dict[str, str]:
    return {"csrf": csrf, "kind": "reminder", "cause": "insufficient_funds", "id": "friendly", "name": "Friendlier",
            "share": "50", "effect": "10", "anyway": "yes", "words:de:reminder.subject": WORDS, **over}  # fmt: skip


def begun(house: House, client: TestClient[Litestar]) -> tuple[Merchant, str]:
    """A house with German customers, and a test of the reminder's subject."""
    merchant = add_merchant(house)
    fail(house, merchant, *(view(n) for n in range(3)), lives=NEVER_PAYS)
    pages.person(house)
    csrf = pages.signed_in(client)
    answer = client.post(WHERE, data=form(csrf))
    assert answer.status_code == 303, answer.text
    assert answer.headers["location"] == "/experiments/friendly?done=started"
    return merchant, csrf


def test_other_words_are_written_and_tested(house: House) -> None:
    with pages.client_of(house) as client:
        merchant, csrf = begun(house, client)
        page = client.get(f"{WHERE}?kind=reminder").text
        assert "words:de:reminder.subject" in page
        assert "words:en:" not in page
        assert "final.subject" not in page
        with reading(house.db) as tx:
            (one,) = experiments.everyone(tx, merchant.id)
        assert one.plan.arms[1].texts == {"de": {"reminder.subject": WORDS}}
        refused = client.post(WHERE, data=form(csrf, id="other"))
        assert refused.status_code == 409
        assert "is running and words reminder.subject otherwise too" in refused.text
        assert WORDS in refused.text
        other = {"words:de:reminder.subject": "", "words:de:reminder.title": "Noch offen"}
        bad = client.post(WHERE, data=form(csrf, id="other", **other))
        assert (bad.status_code, "{amount} is missing" in bad.text) == (409, True)
        empty = client.post(WHERE, data=form(csrf, id="other", **{"words:de:reminder.subject": " "}))
        assert "no other words were written" in empty.text.lower()


def test_the_preview_shows_what_each_side_reads(house: House) -> None:
    with pages.client_of(house) as client:
        merchant, _ = begun(house, client)
        with reading(house.db) as tx:
            (one,) = experiments.everyone(tx, merchant.id)
        n = next(n for n in range(10, 500) if arm_of(one.plan, f"cus_{n}").name == "new")
        (case,) = fail(house, merchant, view(n), lives=NEVER_PAYS)
        asked = "/messages/texts?kind=reminder&language=de"
        side = client.get(f"{asked}&arm=friendly:new").text
        assert "Kurz gefragt" in side
        assert "words of the test" in side
        assert "Kurz gefragt" in client.get(f"{asked}&case={case.id}").text
        assert "Kurz gefragt" not in client.get(asked).text
        assert "Kurz gefragt" not in client.get(f"{asked}&arm=friendly:now").text
        last = client.get("/messages/texts?kind=final_notice&language=de&arm=friendly:new").text
        assert "words of the test" not in last
        assert "There is no such message" in client.get(f"{asked}&arm=friendly:nobody").text


def test_promoted_and_taken_back_on_the_page(house: House) -> None:
    with pages.client_of(house) as client:
        merchant, csrf = begun(house, client)
        here = "/experiments/friendly"
        page = client.get(here).text
        assert WORDS in page
        assert "/messages/texts?kind=reminder&amp;language=de&amp;arm=friendly%3Anew" in page
        would = client.get(f"{here}?promote=new").text
        assert "Make the words of new yours?" in would
        assert "Kurze Erinnerung: {amount} sind noch offen" in would
        done = client.post(here, data={"csrf": csrf, "do": "promote", "arm": "new"})
        assert done.headers["location"] == f"{here}?done=worded"
        with reading(house.db) as tx:
            assert wordings.by_language(tx, merchant.id) == {"de": {"reminder.subject": WORDS}}
        client.post(here, data={"csrf": csrf, "do": "promote", "arm": "now"})
        with reading(house.db) as tx:
            assert wordings.by_language(tx, merchant.id) == {}


def test_only_admins_put_words_before_customers(house: House) -> None:
    with pages.client_of(house) as client:
        begun(house, client)
    pages.person(house, "rita", "revops")
    with pages.client_of(house) as client:
        csrf = pages.signed_in(client, "rita")
        assert client.get(WHERE).status_code == 403
        assert client.post(WHERE, data=form(csrf, id="other")).status_code == 403
        promote = {"csrf": csrf, "do": "promote", "arm": "new"}
        assert client.post("/experiments/friendly", data=promote).status_code == 403
        assert "promote=new" not in client.get("/experiments/friendly").text
