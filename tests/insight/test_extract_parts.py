"""An extract brought up to date again and again holds, row by row, what one made from nothing holds; on both databases."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest

from recoup.domain import facts as f
from recoup.domain.experiment import Enrolment
from recoup.engine.house import House
from recoup.insight import extract
from recoup.insight.frame import Frame
from recoup.insight.fresh import frame
from recoup.insight.shaping import TABLES
from tests.insight.crafted import NOW, Story, keep, standing_at_now, story
from tests.support.house import standing

ENDS = ("R", "R", "LI", "LV", "O", "X")


@pytest.fixture
def house(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.setenv("RECOUP_INSIGHT_DIR", str(tmp_path))
    monkeypatch.setattr(extract, "PART", 7)
    with standing(database_url) as made:
        yield made


def some_life(n: int, dice: Random, version: int) -> Story:
    """Case number `n`, as any day may find it."""
    told = (f.Refunded(at=NOW, actor="provider:generic", amount_minor=dice.randrange(1, 4900)),)
    arm = Enrolment(
        experiment="message-holdout", kind="messages", arm=dice.choice(("all", "none")), share=0.5
    )
    return story(
        n, dice.choice(ENDS), age=dice.randrange(30, 90), currency=dice.choice(("EUR", "USD")),
        told=told if dice.random() < 0.3 else (), arms=(arm,) if dice.random() < 0.5 else (), version=version,
    )  # fmt: skip


def rows(found: Frame) -> dict[str, list[str]]:
    """Every row of every table; numbers that only join are told by what they lead to."""
    told = {}
    for table in TABLES:
        with found._duck.cursor() as duck:  # past what a frame remembers, which is for pages
            numbered = table in ("attempts", "messages")
            lead = f"SELECT c.id AS leads_to, t.* FROM {table} t LEFT JOIN cases c ON c.case_n = t.case_n"
            duck.execute(lead if numbered else f"SELECT * FROM {table} t")
            names = [d[0] for d in duck.description or ()]
            told[table] = sorted(
                repr({k: v for k, v in zip(names, row, strict=True) if k != "case_n"})
                for row in duck.fetchall()
            )
    return told


def test_many_small_refreshes_come_to_what_one_from_nothing_comes_to(house: House) -> None:
    merchant, dice = standing_at_now(house), Random(3)
    odd = story('a "\\ ü, b', "R")
    keep(house, merchant, [odd, *(some_life(n, dice, 1) for n in range(20))])
    frame(house, merchant, at_most=timedelta(0))
    for known in (20, 28, 36, 44):
        again = dice.sample(range(known), 5)
        keep(house, merchant, [some_life(n, dice, 1 + known) for n in (*again, *range(known, known + 8))])
        found = frame(house, merchant, at_most=timedelta(0))
    assert found.stamp.parts > 5
    little_by_little = rows(found)
    extract.home(house.db).joinpath(merchant.id, "stamp.json").unlink()
    at_once = rows(frame(house, merchant, at_most=timedelta(0)))
    assert [len(at_once[table]) > 20 for table in ("cases", "attempts")] == [True, True]
    for table in TABLES:
        assert little_by_little[table] == at_once[table], table
