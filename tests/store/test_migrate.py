"""Migrations: the steps lead to exactly the tables the code uses, however often and by however many they are taken."""

import threading
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.engine import Engine

from recoup.store import migrate
from recoup.store.engines import open_engine, reading, writing
from recoup.store.tables import metadata

STEPS = sorted(p.name[:4] for p in (migrate.STEPS / "versions").glob("[0-9]*.py"))


@pytest.fixture
def empty(database_url: str) -> Iterator[Engine]:
    engine = open_engine(database_url)
    yield engine
    engine.dispose()


def indexes(engine: Engine) -> dict[str, tuple[str, tuple[str | None, ...], bool, str]]:
    """Every index by name: its table, columns, whether unique, and its condition as the database writes it."""
    found = {}
    for table in metadata.tables:
        for index in sa.inspect(engine).get_indexes(table):
            options = index.get("dialect_options", {})
            where = str(options.get("sqlite_where", options.get("postgresql_where", "")))
            where = where.replace(f"{table}.", "")
            found[str(index["name"])] = (table, tuple(index["column_names"]), bool(index["unique"]), where)
    return found


def test_the_steps_lead_to_the_tables_the_code_uses(empty: Engine) -> None:
    assert migrate.upgrade(empty) == STEPS
    with reading(empty) as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, metadata) == []


def test_partial_indexes_are_the_same_as_the_codes(empty: Engine) -> None:
    migrate.upgrade(empty)
    migrated = indexes(empty)
    with writing(empty) as connection:
        connection.exec_driver_sql("DROP TABLE alembic_version")
        metadata.drop_all(connection)
        metadata.create_all(connection)
    assert migrated == indexes(empty)
    assert sum(bool(where) for _, _, _, where in migrated.values()) >= 5


def test_twice_is_once(empty: Engine) -> None:
    assert not migrate.is_current(empty)
    assert migrate.upgrade(empty)
    assert migrate.is_current(empty)
    assert migrate.upgrade(empty) == []


def test_several_hosts_at_once(database_url: str) -> None:
    results: list[list[str] | Exception] = []
    start = threading.Barrier(6)

    def host() -> None:
        engine = open_engine(database_url)
        start.wait()
        try:
            results.append(migrate.upgrade(engine))
        except Exception as fault:
            results.append(fault)
        finally:
            engine.dispose()

    hosts = [threading.Thread(target=host) for _ in range(6)]
    for each in hosts:
        each.start()
    for each in hosts:
        each.join()
    assert sorted(map(str, results)) == [str(STEPS)] + ["[]"] * 5


def test_a_step_that_fails_leaves_nothing_behind(empty: Engine) -> None:
    with writing(empty) as connection:
        connection.exec_driver_sql(
            "CREATE TABLE workers (id text)"
        )  # the last table: the others come before it
    with pytest.raises(sa.exc.DBAPIError):
        migrate.upgrade(empty)
    assert sa.inspect(empty).get_table_names() == ["workers"]


def test_a_database_of_a_newer_version_is_refused(empty: Engine) -> None:
    migrate.upgrade(empty)
    with writing(empty) as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(migrate.DatabaseAhead, match="step 9999"):
        migrate.upgrade(empty)
    assert not migrate.is_current(empty)
