"""Every check is fired by books made for it, and silent on ordinary ones."""

from collections.abc import Iterator
from datetime import timedelta

import msgspec
import pytest

from recoup.domain.instants import to_micros
from recoup.domain.view import Result
from recoup.insight.checks import ALL, Ground, examine
from recoup.insight.fresh import frame
from recoup.insight.ledger import Entry
from recoup.insight.opportunities import Ranking, opportunities
from tests.insight import fired_data, fired_misconceptions  # noqa: F401  (they lay the books)
from tests.insight.crafted import NOW, Story, clean, keep, standing_at_now, story
from tests.insight.fired import FIRED, TOLD, Books
from tests.support.house import standing


@pytest.fixture
def books(sqlite_url: str) -> Iterator[Books]:
    with standing(sqlite_url) as house:
        yield Books(house, standing_at_now(house))


OUTSIDE = {"M24", "Q05", "Q07", "Q08", "Q26", "Q27", "Q29", "Q31", "Q32", "Q34", "Q35", "Q38"}


@pytest.mark.parametrize("id", sorted(FIRED))
def test_fired(books: Books, id: str) -> None:
    FIRED[id](books)
    verdict = books.verdict(id)
    assert verdict.status in ("warn", "fail"), verdict
    assert verdict.says
    assert verdict.fix


def test_every_check_is_fired_or_says_why_it_does_not_apply() -> None:
    assert {c.id for c in ALL} == {*(f"M{n:02}" for n in range(1, 36)), *(f"Q{n:02}" for n in range(1, 43))}
    assert set(FIRED) | OUTSIDE == {c.id for c in ALL}
    assert not set(FIRED) & OUTSIDE


def test_silent_on_ordinary_books(books: Books) -> None:
    books.keep(*clean(480))
    books.ledger = [
        Entry(line=i, id=f"txn_{a.id}", kind="payment", at=a.at, amount_minor=a.amount_minor, currency="EUR", fee_minor=100,
              net_minor=a.amount_minor - 100, names=(a.id,), payout=None)
        for i, a in enumerate(a for s in clean(480) for a in s.case.attempts if a.result is Result.PAID)
    ]  # fmt: skip
    loud = {v.id: v.says for v in books.verdicts().values() if v.status in ("warn", "fail")}
    assert loud == {}


def test_critical_faults_block_the_ranking(books: Books) -> None:
    FIRED["M30"](books)
    found = frame(books.house, books.merchant, at_most=timedelta(0))
    report = examine(Ground(engine=books.house.db, merchant=books.merchant, frame=found, company=TOLD))
    assert report.quality < 1
    assert any("Q20" in fault for fault in report.faults)
    ranking = opportunities(found, "EUR", TOLD, quality=report.quality, faults=report.faults)
    assert ranking.status == "fix the data first"
    assert ranking.all == ()
    assert "Q20" in ranking.says


def test_unknown_intervals_cost_confidence_and_block_nothing(books: Books) -> None:
    """Segments are merged over the interval anyway; what is not known is counted at its least."""
    books.keep(*clean(240))
    monthly = ranked(books)
    books.keep(*(untold(s) for s in clean(240)))
    unknown = ranked(books)
    assert books.verdict("Q12").says.startswith("interval is missing on 100.0 %")
    assert unknown.status == monthly.status == "ranked"
    assert 0 < max(o.impact_minor[1] for o in unknown.all) < max(o.impact_minor[1] for o in monthly.all) / 2
    assert max(o.confidence for o in unknown.all) < max(o.confidence for o in monthly.all)
    assert any("how often they are billed" in a for a in unknown.assumed)


def test_a_missing_method_blocks_though_the_interval_is_missing_more_often(books: Books) -> None:
    books.keep(*(untold(s) for s in clean(20)))
    books.keep(*(story(f"b{n}", "LI", methods=()) for n in range(10)))
    assert books.verdict("Q12").blocks
    assert books.verdict("Q12").says.startswith("method is missing")


def untold(story: Story) -> Story:
    """The same case as before, of which nobody tells how often it is billed."""
    case = story.case
    debt = msgspec.structs.replace(case.debt, interval=None)
    return Story(case=msgspec.structs.replace(case, debt=debt, version=case.version + 1))


def ranked(books: Books) -> Ranking:
    found = frame(books.house, books.merchant, at_most=timedelta(0))
    report = examine(Ground(engine=books.house.db, merchant=books.merchant, frame=found, company=TOLD))
    return opportunities(found, "EUR", TOLD, quality=report.quality, faults=report.faults)


def test_what_is_not_applicable_says_why(books: Books) -> None:
    books.keep(*clean(10))
    verdicts = books.verdicts()
    for id in OUTSIDE:
        assert verdicts[id].status == "does not apply"
        assert verdicts[id].says


def test_an_empty_house_is_neither_good_nor_bad(books: Books) -> None:
    assert {v.id: v.says for v in books.verdicts().values() if v.status in ("warn", "fail")} == {}


def test_a_sandbox_is_labelled(books: Books) -> None:
    test_clock = standing_at_now(books.house, name="play", test_clock=NOW)
    keep(books.house, test_clock, clean(10))
    verdict = Books(books.house, test_clock).verdict("M28")
    assert (verdict.status, verdict.corrected) == ("warn", 0)
    assert "test clock" in verdict.says


def test_moments_are_exact() -> None:
    assert to_micros(NOW) % 1_000_000 == 0
