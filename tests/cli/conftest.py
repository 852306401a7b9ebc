"""A desk to type commands at, on either database."""

from pathlib import Path

import pytest

from tests.cli.commands import Desk


@pytest.fixture
def desk(tmp_path: Path, database_url: str) -> Desk:
    """Commands run in an empty directory, on an empty database of their own."""
    return Desk(tmp_path, database_url)


@pytest.fixture
def small_desk(tmp_path: Path, sqlite_url: str) -> Desk:
    """The same on SQLite alone, where the database makes no difference."""
    return Desk(tmp_path, sqlite_url)
