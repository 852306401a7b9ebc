"""A new SQLite file that `serve` and several workers open at the same moment; what a connection to PostgreSQL is told first."""

import threading
from pathlib import Path

import sqlalchemy as sa

from recoup.store.engines import glancing, open_engine, reading, writing

ROUNDS, HOSTS = 100, 6
"""Of a hundred such races two or three failed before the one that SQLite turns away asked again."""


def test_several_may_open_a_new_file_at_once(tmp_path: Path) -> None:
    faults: list[str] = []
    for n in range(ROUNDS):
        url, start = f"sqlite:///{tmp_path}/{n}.db", threading.Barrier(HOSTS)

        def host(url: str = url, start: threading.Barrier = start) -> None:
            engine = open_engine(url)
            start.wait()
            try:
                with writing(engine) as connection:
                    connection.execute(sa.text("CREATE TABLE IF NOT EXISTS t (id text)"))
            except sa.exc.DBAPIError as e:
                faults.append(str(e))
            finally:
                engine.dispose()

        hosts = [threading.Thread(target=host) for _ in range(HOSTS)]
        for each in hosts:
            each.start()
        for each in hosts:
            each.join()
    assert faults == []


def test_postgresql_compiles_no_query(postgres_url: str) -> None:
    engine = open_engine(postgres_url, pool_size=1)
    for opened in (reading, writing, glancing):
        with opened(engine) as connection:
            assert connection.execute(sa.text("SHOW jit")).scalar_one() == "off"
    engine.dispose()
