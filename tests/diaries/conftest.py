"""Every story is lived twice: on a test clock over SQLite, and in real time over PostgreSQL."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from recoup.domain.policy import Policy
from tests.diaries.house_diary import P4, REAL_TIME, TEST_CLOCK, Diary
from tests.support.tenants import watched

Begin = Callable[..., Diary]


@pytest.fixture(params=[TEST_CLOCK, REAL_TIME], ids=["test-clock-sqlite", "real-time-postgresql"])
def begin(request: pytest.FixtureRequest) -> Iterator[Begin]:
    """Begins the test's diary; at the end of the story our books are compared with the bank's."""
    name = "sqlite_url" if request.param == TEST_CLOCK else "fresh_postgres_url"
    url: str = request.getfixturevalue(name)
    begun: list[Diary] = []

    def start(rules: Policy = P4, **how: Any) -> Diary:
        begun.append(Diary(url, request.param, rules, **how))
        return begun[-1]

    with watched() as wide:
        yield start
    try:
        for diary in begun:
            diary.check()
        assert wide == {}, "statements that are not held to one merchant"
    finally:
        for diary in begun:
            diary.close()
