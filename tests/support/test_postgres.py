"""The PostgreSQL that tests stand on: fresh, separate, gone after the run."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import create_engine, text

from tests.support.postgres import HOME_VARIABLE, OWNER_VARIABLE, URL_VARIABLE, Postgres
from tests.support.waiting import until

ROOT = Path(__file__).parents[2]


def test_a_database_is_empty_and_takes_both_doors(fresh_postgres_url: str) -> None:
    with psycopg.connect(fresh_postgres_url) as connection:
        count = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
        zone = connection.execute("SHOW timezone").fetchone()
    assert (count, zone) == ((0,), ("UTC",))
    engine = create_engine(fresh_postgres_url)
    assert engine.dialect.driver == "psycopg"
    with engine.connect() as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 1
    engine.dispose()


def test_two_databases_do_not_see_each_other(postgres: Postgres) -> None:
    with postgres.database() as one, postgres.database() as two:
        with psycopg.connect(one) as connection:
            connection.execute("CREATE TABLE cases (id int)")
        with psycopg.connect(two) as connection, pytest.raises(psycopg.errors.UndefinedTable):
            connection.execute("SELECT * FROM cases")


def test_a_database_is_dropped_with_its_block(postgres: Postgres) -> None:
    with postgres.database() as url:
        held = psycopg.connect(url)  # still open when the block ends: dropped all the same
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(url)
    held.close()


def test_a_template_is_prepared_once_and_copied(postgres: Postgres) -> None:
    prepared = []

    def prepare(url: str) -> None:
        prepared.append(url)
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE policies AS SELECT 7 AS version")

    worker = os.environ.get("PYTEST_XDIST_WORKER", "only")
    names = {postgres.template(f"self_test_{worker}", prepare) for _ in range(2)}
    assert len(names) == len(prepared) == 1
    with postgres.database(template=names.pop()) as url, psycopg.connect(url) as connection:
        assert connection.execute("SELECT version FROM policies").fetchone() == (7,)


@pytest.mark.parametrize("end", ["close_run", "kill"])
def test_nothing_is_left_when_the_run_ends(end: str) -> None:
    """A run of its own that ends in order, or is killed: server and directory go either way."""
    program = textwrap.dedent(f"""
        import os, signal
        from tests.support import postgres
        server = postgres.server()
        url = server.create()
        print(os.environ[{HOME_VARIABLE!r}], flush=True)
        if {end!r} == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        postgres.close_run()
    """)
    ours = {URL_VARIABLE, HOME_VARIABLE, OWNER_VARIABLE}
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.startswith("/"), done.stderr
    home = Path(done.stdout.strip())
    until(lambda: not home.exists())
    assert not [line for line in _running() if str(home) in line]


def _running() -> list[str]:
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    return listed.stdout.splitlines()
