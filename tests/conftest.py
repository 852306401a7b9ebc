"""What every test may ask for: databases of both kinds, a browser, and the choice of slow tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from playwright.sync_api import Browser

from recoup.insight import experiments_run
from tests.support import browser as browsers
from tests.support import postgres as support
from tests.support.postgres import Postgres


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run the tests marked slow")
    parser.addoption("--explore", action="store_true", help="let properties draw other examples in each run")


def pytest_configure(config: pytest.Config) -> None:
    # A busy machine fails no test, and the same commit is tried with the same examples.
    settings.register_profile(
        "recoup", deadline=None, suppress_health_check=[HealthCheck.too_slow],
        derandomize=not config.getoption("--explore"),
    )  # fmt: skip
    settings.load_profile("recoup")
    support.open_run()


def pytest_unconfigure(config: pytest.Config) -> None:
    support.close_run()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--slow") or "slow" in config.getoption("markexpr", default=""):
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    if slow:
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if not item.get_closest_marker("slow")]


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("browser") and browsers.chromium() is None:
        (pytest.fail if browsers.required() else pytest.skip)(browsers.MISSING)


@pytest.fixture(autouse=True)
def same_arms(pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Experiments draw the same arms in each run, for the same customers."""
    if not pytestconfig.getoption("--explore"):
        monkeypatch.setattr(experiments_run, "new_secret", lambda kind: f"{kind}_of_the_tests")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium for tests marked `browser`; open a page of your own with `browser.new_page()`."""
    with browsers.launched() as running:
        yield running


@pytest.fixture(scope="session")
def postgres() -> Postgres:
    """The PostgreSQL server of this run, shared by all workers; `.create()` and `.database()` give databases."""
    return support.server()


@pytest.fixture(scope="module")
def postgres_url(postgres: Postgres) -> Iterator[str]:
    """URL of an empty PostgreSQL database that this test module has to itself."""
    with postgres.database() as url:
        yield url


@pytest.fixture
def fresh_postgres_url(postgres: Postgres) -> Iterator[str]:
    """URL of an empty PostgreSQL database that this one test has to itself."""
    with postgres.database() as url:
        yield url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """URL of a SQLite file that does not exist yet, in this test's own directory."""
    return f"sqlite:///{tmp_path / 'recoup.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """URL of an empty database of its own; the test runs once on SQLite and once on PostgreSQL."""
    name = "sqlite_url" if request.param == "sqlite" else "fresh_postgres_url"
    url: str = request.getfixturevalue(name)
    return url
