"""The desks of the demo: customers write back, somebody answers, and what is answered goes on by itself."""

from datetime import timedelta
from pathlib import Path

import pytest

from recoup.cli import demo
from recoup.domain.facts import HandedOver, Held, Noted, Released
from recoup.lab.company import failures
from recoup.lab.desk import ANSWERS_IN, Desk
from recoup.store import experiments, users
from recoup.store.engines import reading
from tests.web import pages


def test_letters_come_and_are_answered_three_days_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    days = 32
    house, merchant, people = demo.opened(failures(1, demo.BEGINS, days, 120), 0)
    desk, written = Desk(house, merchant), set()
    for n in range(1, days + 1):
        people.play_until(demo.BEGINS + timedelta(days=n))
        desk.day(people.open_cases)
        written |= desk.waiting
    assert written, "somebody wrote back"
    answered = 0
    for case_id in written:
        facts = pages.facts_of(house, merchant, case_id)
        (letter,) = [f for f in facts if isinstance(f, HandedOver) and f.queue in ("reply", "vulnerable")]
        assert letter.because[0].startswith("wrote back: ")
        for note in (f for f in facts if isinstance(f, Noted)):
            assert note.at - letter.at >= timedelta(days=ANSWERS_IN)
            assert any(isinstance(f, Released) and f.at == note.at for f in facts), "it goes on afterwards"
            answered += 1
        assert not any(isinstance(f, Held) for f in facts)
    assert answered
    house.db.dispose()


def test_the_story_is_played_day_by_day_with_its_people_and_its_proof(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    end = demo.BEGINS + timedelta(days=3)
    with demo.story(failures(1, demo.BEGINS, 3, 40), 0) as story:
        assert list(story.days(end)) == [demo.BEGINS + timedelta(days=n) for n in (1, 2, 3)]
        with reading(story.house.db) as tx:
            assert {person.login for person in users.everyone(tx)} >= {demo.LOGIN, "agent", "viewer"}
            assert "gentle-first" in {each.plan.id for each in experiments.everyone(tx, story.merchant.id)}
