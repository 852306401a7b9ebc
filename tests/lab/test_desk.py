"""The desks of the demo: customers write back, somebody answers, and what is answered goes on by itself."""

from datetime import timedelta
from pathlib import Path

import pytest

from recoup.cli import demo
from recoup.domain.facts import HandedOver, Held, Noted, Released
from recoup.lab.company import failures
from recoup.lab.desk import ANSWERS_IN, Desk
from tests.web import pages


def test_letters_come_and_are_answered_three_days_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    days = 32
    house, merchant, people = demo._open(failures(1, demo.BEGINS, days, 120), 0)
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
