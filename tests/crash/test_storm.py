"""A short storm of real processes on both databases: nothing is collected twice, nothing is lost, the books agree."""

from pathlib import Path

import pytest

from recoup.domain.case import State
from tests.crash.storm import Storm


def weather(url: str, home: Path, count: int, seconds: float) -> None:
    storm = Storm(url, home, count=count, seconds=seconds)
    cases = storm.run()
    assert storm.faults(cases) == []
    assert len(cases) == count
    assert storm.kills >= 3
    assert (
        sum(c.state is State.RECOVERED for c in cases) > count / 5
    )  # a busy machine reaches fewer rungs within the window


def test_storm(database_url: str, tmp_path: Path) -> None:
    """24. Two workers, killed at random moments; every payable debt is collected once."""
    weather(database_url, tmp_path, 60, 12)


@pytest.mark.slow
def test_long_storm(database_url: str, tmp_path: Path) -> None:
    """24. The same for longer, with more."""
    weather(database_url, tmp_path, 600, 90)
